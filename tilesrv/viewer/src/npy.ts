/** NumPy's `.npy` files, as raw tiles and planes come. Pure. */

export type Numbers =
  | Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array | Uint32Array | Float32Array | Float64Array;

export interface NpyArray {
  data: Numbers;
  shape: number[];
}

const KINDS: Record<string, (buffer: ArrayBuffer) => Numbers> = {
  b1: (b) => new Uint8Array(b),
  i1: (b) => new Int8Array(b),
  u1: (b) => new Uint8Array(b),
  i2: (b) => new Int16Array(b),
  u2: (b) => new Uint16Array(b),
  i4: (b) => new Int32Array(b),
  u4: (b) => new Uint32Array(b),
  f4: (b) => new Float32Array(b),
  f8: (b) => new Float64Array(b),
  i8: (b) => Float64Array.from(new BigInt64Array(b), Number),
  u8: (b) => Float64Array.from(new BigUint64Array(b), Number),
};

/** Decode a little-endian, C-ordered array. Throws RangeError for anything else. */
export function decodeNpy(buffer: ArrayBuffer): NpyArray {
  const bytes = new Uint8Array(buffer);
  if (bytes.length < 10 || String.fromCharCode(...bytes.subarray(1, 6)) !== "NUMPY") {
    throw new RangeError("this is not a .npy array");
  }
  const view = new DataView(buffer);
  const wide = (bytes[6] ?? 1) > 1;
  const size = wide ? view.getUint32(8, true) : view.getUint16(8, true);
  const start = (wide ? 12 : 10) + size;
  const header = new TextDecoder("latin1").decode(bytes.subarray(wide ? 12 : 10, start));
  const kind = /'descr':\s*'([<|=>])([a-z]\d)'/.exec(header);
  const shape = /'shape':\s*\(([^)]*)\)/.exec(header);
  const make = KINDS[kind?.[2] ?? ""];
  if (!kind || !shape || !make || kind[1] === ">" || /'fortran_order':\s*True/.test(header)) {
    throw new RangeError(`arrays of this kind are not read: ${header.trim().slice(0, 100)}`);
  }
  return {
    data: make(buffer.slice(start)),
    shape: (shape[1] ?? "").split(",").filter((part) => part.trim()).map(Number),
  };
}
