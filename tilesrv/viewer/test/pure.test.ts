/** What needs no browser: geometry, formats, addresses. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Frame, ImageRecord } from "../src/api";
import { changing, maskOfStroke, painted, strokeOf } from "../src/annotate/brush";
import { bitsOf, colourOf, runsOf, same, type Feature } from "../src/annotate/model";
import { offered } from "../src/annotate/selected";
import { apart, between, cornersOf, framedOf, memberOf, onEdge, withAngle, withCorner } from "../src/annotate/shapes";
import { defaultBands, displayOf, displayQuery, displayState } from "../src/display";
import { fixed, frameName, lonLat, metres, placesFor, roundBelow, short } from "../src/format";
import { Grid2 } from "../src/grid";
import { bars, spanOf } from "../src/histogram";
import { keyName } from "../src/keys";
import { decodeNpy } from "../src/npy";
import { formatHash, numbersOf, parseHash } from "../src/router";

const scene = {
  id: "s", axes: ["c", "y", "x"], shape: [4, 60, 80], dtype: "uint16", frame: { type: "geo", crs: "EPSG:32632" },
  bands: ["red", "green", "blue", "undefined"].map((interpretation, k) => ({ name: `b${k + 1}`, interpretation })),
  window: [[0, 100], [0, 200], [0, 300], [5, 9]],
} as unknown as ImageRecord;

test("an affine takes pixels to the world and back, rotated or not", () => {
  for (const rows of [[[0, 5, 485902], [-5, 0, 5209248]], [[0.3, 4.9, 1e6], [-5.1, 0.4, -2e6]], [[5, 0, 10], [0, 5, 20]]]) {
    const grid = new Grid2(rows, 60, 80);
    const world = grid.toWorld([12.25, 33.5]);
    const [column, row] = grid.toIndex(world);
    assert.ok(Math.abs(column - 12.25) < 1e-6 && Math.abs(row - 33.5) < 1e-6);
    const [x, y] = grid.toMap(world);
    assert.ok(Math.abs(x - 12.25) < 1e-6 && Math.abs(y + 33.5) < 1e-6);
  }
  assert.deepEqual(new Grid2([[0, 5, 100], [-5, 0, 200]], 4, 4).toWorld([1, 2]), [105, 190]);
  assert.throws(() => new Grid2([[0, 0, 1], [0, 0, 1]], 4, 4), RangeError);
});

test("angles are told in the world, from +x towards +y", () => {
  assert.equal(new Grid2([[0, 5, 0], [-5, 0, 0]], 4, 4).worldAngle([0, 1]), 90);
  assert.equal(new Grid2([[0, 1, 0], [1, 0, 0]], 4, 4).worldAngle([0, 1]), -90); // pixels: y grows downwards
});

test("the address of a place is read back as it was written", () => {
  const place = { image: "a.b-c", state: { at: "1.5,2,3", bands: "3,2,1" } };
  assert.equal(formatHash(place), "#/images/a.b-c?at=1.5,2,3&bands=3,2,1");
  assert.deepEqual(parseHash(formatHash(place)), place);
  for (const hash of ["", "#", "#/", "#/images/", "#/images/%E0%A4%A", "#nonsense"]) assert.equal(parseHash(hash).image, null);
  assert.deepEqual(numbersOf("1,2,-3.5", 3), [1, 2, -3.5]);
  assert.equal(numbersOf("1,x,2", 3), null);
  assert.equal(numbersOf(undefined, 1), null);
});

test("a look asks only for what differs from the image's own", () => {
  assert.deepEqual(defaultBands(scene), [1, 2, 3]);
  assert.equal(displayQuery(scene, displayOf(scene, {})), "");
  const look = displayOf(scene, { bands: "4", colormap: "viridis_r", rescale: "1,2" });
  assert.equal(displayQuery(scene, look), "?bands=4&rescale=1,2&colormap=viridis_r");
  assert.deepEqual(displayOf(scene, displayState(scene, look)), look);
  const half = displayOf(scene, {});
  half.ranges[1] = [7, 8];
  assert.equal(displayQuery(scene, half), "?rescale=0,100,7,8,0,300");
  assert.deepEqual(displayOf(scene, { bands: "9", colormap: "<b>", rescale: "a,b" }), displayOf(scene, {}));
});

test("raw arrays are decoded with their types and shapes", () => {
  const values = new Int16Array([1, -2, 3, 4, 5, -6]);
  const array = decodeNpy(npy("<i2", "(1, 2, 3)", values.buffer));
  assert.deepEqual(array.shape, [1, 2, 3]);
  assert.deepEqual([...array.data], [...values]);
  assert.deepEqual([...decodeNpy(npy("<i8", "(2,)", new BigInt64Array([5n, -7n]).buffer)).data], [5, -7]);
  assert.throws(() => decodeNpy(npy(">i2", "(3,)", values.buffer)), RangeError);
  assert.throws(() => decodeNpy(new ArrayBuffer(4)), RangeError);
});

function npy(kind: string, shape: string, data: ArrayBufferLike): ArrayBuffer {
  const header = new TextEncoder().encode(`{'descr': '${kind}', 'fortran_order': False, 'shape': ${shape}, }\n`);
  const file = new Uint8Array(10 + header.length + data.byteLength);
  file.set([0x93, ...new TextEncoder().encode("NUMPY"), 1, 0, header.length, 0]);
  file.set(header, 10);
  file.set(new Uint8Array(data), 10 + header.length);
  return file.buffer;
}

test("histograms are drawn over what is shown and nearly all values", () => {
  const heights = bars([4, 0, 16], [0, 1, 2, 3], [0, 3], 3);
  assert.deepEqual(heights, [0.5, 0, 1]);
  const [low, high] = spanOf(null, [10, 20]);
  assert.ok(low < 10 && high > 20);
});

test("numbers are short and plain", () => {
  assert.deepEqual([short(0.1 + 0.2), short(12345678), short(1e-7), short(null), short(NaN)], ["0.3", "12345678", "1.000e-7", "–", "NaN"]);
  assert.deepEqual([metres(1500), metres(3), metres(0.25)], ["1.5 km", "3 m", "25 cm"]);
  assert.deepEqual([roundBelow(140), roundBelow(0.049), roundBelow(7)], [100, 0.02, 5]);
  assert.equal(lonLat([-99.5, 47.25], 2), "47.25°N 99.50°W");
  assert.equal(lonLat([-1e-9, 1e-9], 2), "0.00°N 0.00°E");
  assert.equal(fixed(-0.004, 2), "0.00");
  assert.equal(fixed(-0.006, 2), "-0.01");
  assert.equal(frameName({ type: "geo", crs: 'PROJCRS["unnamed",BASEGEOGCRS[]]' } as Frame), "CRS without a name");
  assert.deepEqual([placesFor(10), placesFor(1), placesFor(0.00001)], [1, 2, 7]);
});

test("keys have one name however they are pressed", () => {
  const none = { ctrlKey: false, metaKey: false, shiftKey: false, altKey: false };
  assert.equal(keyName({ ...none, key: "z", metaKey: true }), "Ctrl+z");
  assert.equal(keyName({ ...none, key: "R", shiftKey: true }), "Shift+r");
  assert.equal(keyName({ ...none, key: "?", shiftKey: true }), "?");
  assert.equal(keyName({ ...none, key: "ArrowUp", shiftKey: true }), "Shift+ArrowUp");
});

test("a brush paints the pixels whose centres it went over", () => {
  const dot = strokeOf([[2.5, 2.5]], 1, 10, 10);
  assert.deepEqual(dot?.box, [1, 1, 4, 4]);
  assert.deepEqual([...(dot?.bits ?? [])], [0, 1, 0, 1, 1, 1, 0, 1, 0]);
  const line = strokeOf([[0.5, 0.5], [4.5, 0.5]], 0.5, 10, 10);
  assert.deepEqual(line?.bits.reduce((sum, bit) => sum + bit, 0), 5);
  assert.equal(strokeOf([[-5, -5]], 1, 10, 10), null);
});

test("strokes add to a mask and take away from it", () => {
  const [a, b] = [strokeOf([[2.5, 2.5]], 1, 10, 10), strokeOf([[4.5, 2.5]], 1, 10, 10)];
  assert.ok(a && b);
  const both = painted(maskOfStroke(a), b, "add");
  assert.deepEqual(both?.box, [1, 1, 6, 4]);
  assert.deepEqual([...bitsOf(both?.counts ?? [], 15)], [0, 1, 0, 1, 0, 1, 1, 1, 1, 1, 0, 1, 0, 1, 0]);
  const less = both && painted(both, b, "subtract");
  assert.deepEqual([...bitsOf(less?.counts ?? [], 15)], [0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0]);
  assert.equal(painted(maskOfStroke(a), a, "subtract"), null);
});

test("of a stroke only what it changes is undone", () => {
  const [a, b] = [strokeOf([[2.5, 2.5]], 1, 10, 10), strokeOf([[3.5, 2.5]], 1, 10, 10)];
  assert.ok(a && b);
  const before = maskOfStroke(a);
  const added = changing(before, b, "add");
  assert.deepEqual([added.box, [...added.bits]], [b.box, [0, 1, 0, 0, 0, 1, 0, 1, 0]]);
  const after = painted(before, b, "add");
  const undone = after && painted(after, added, "subtract");
  assert.deepEqual([...bitsOf(undone?.counts ?? [], 12)], [0, 1, 0, 0, 1, 1, 1, 0, 0, 1, 0, 0]);
  assert.deepEqual([...changing(before, b, "subtract").bits], [0, 0, 0, 1, 1, 0, 0, 0, 0]);
});

test("run lengths begin with zeros", () => {
  assert.deepEqual(runsOf(new Uint8Array([1, 1, 0])), [0, 2, 1]);
  assert.deepEqual(runsOf(new Uint8Array([0, 0])), [2]);
  assert.deepEqual([...bitsOf([1, 2, 1], 4)], [0, 1, 1, 0]);
});

test("framed shapes follow their handles", () => {
  const box = between("box", [0, 0], [10, 4]);
  assert.deepEqual(memberOf(box), { type: "box", minimum: [0, 0], maximum: [10, 4] });
  assert.deepEqual(memberOf(withCorner(box, 2, [20, 8])), { type: "box", minimum: [0, 0], maximum: [20, 8] });
  const turned = withAngle(box, [15, 2]);
  assert.equal(turned.kind, "rotated-box");
  assert.ok(Math.abs(turned.angle - 270) < 1e-9);
  const slanted = onEdge([0, 0], [3, 3], [0, 4]);
  assert.ok(Math.abs(slanted.angle - 45) < 1e-9 && Math.abs(slanted.size[1] - 2 * Math.SQRT2) < 1e-9);
  const [first] = cornersOf(slanted);
  assert.ok(Math.hypot(...(first ?? [1, 1])) < 1e-9);
  for (const shape of [box, slanted, between("ellipse", [0, 0], [3, 9])]) assert.deepEqual(framedOf(memberOf(shape)), shape);
});

test("features are the same where what is written is", () => {
  const feature: Feature = { type: "Feature", id: "a", geometry: { type: "Point", coordinates: [1, 2] }, properties: { label: "x", attributes: { b: 1, a: 2 } } };
  const stored: Feature = { ...feature, properties: { label: "x", attributes: { a: 2, b: 1 }, version: 3, author: "y", score: null } };
  assert.ok(same(feature, stored));
  assert.ok(!same(feature, { ...stored, geometry: { type: "Point", coordinates: [1, 3] } }));
  assert.ok(!same(feature, null));
  // servers turn rings as GeoJSON wants them, and may repeat the first corner
  const ring = [[4, 0], [5, 5], [0, 4], [0, 1]];
  const contours = (rings: number[][][]): Feature => ({ ...feature, geometry: null, shape: { type: "contours", rings } });
  const closed = [[0, 1], [0, 4], [5, 5], [4, 0], [0, 1]];
  assert.ok(same(contours([ring]), contours([closed])));
  assert.ok(same({ ...feature, geometry: { type: "Polygon", coordinates: [[...ring, [4, 0]]] } }, { ...feature, geometry: { type: "Polygon", coordinates: [closed] } }));
  assert.ok(!same(contours([ring]), contours([[[4, 0], [0, 4], [5, 5], [0, 1]]])));
  assert.match(colourOf("a name"), /^#[0-9a-f]{6}$/);
});

test("corners are shown where they lie apart", () => {
  const line: [number, number][] = [[0, 0], [3, 0], [9, 0], [12, 0], [12, 11]];
  assert.deepEqual(apart(line, 10), [[0, 0], [12, 0], [12, 11]]);
  assert.deepEqual(apart(line, 0), line);
});

test("of many labels those that are near at hand are offered", () => {
  const names = Array.from({ length: 20_000 }, (_, k) => `kind ${k}`);
  const found = offered(names, "kind 900", "kind 15000");
  assert.ok(found.length <= 102);
  assert.deepEqual(found.slice(0, 3), ["kind 900", "kind 15000", "kind 0"]);
  assert.deepEqual(offered(["a", "b"], "b", "a"), ["a", "b"]);
  assert.deepEqual(offered(["a", "b"], "gone", "a"), ["gone", "a", "b"]);
});
