/** Where the planes of a volume lie in the patient, millimetres in LPS. Pure. */

import { add, column, cross, decompose, dot, length, subtract, type Point3, type Rows } from "../grid";

export type PlaneName = "axial" | "coronal" | "sagittal";
export const PLANE_NAMES: readonly PlaneName[] = ["axial", "coronal", "sagittal"];

export interface Letters {
  left: string;
  right: string;
  top: string;
  bottom: string;
}

/** What the server tells about one plane. */
export interface SliceDocument {
  index: number;
  count: number;
  grid: { shape: number[]; affine: number[][] };
  spacing: [number, number];
  letters: Letters | null;
  position: number;
  stored: { axis: string; index: number; grid: { shape: number[]; affine: number[][] }; spacing: [number, number]; uneven: boolean };
  instance: { sop_instance_uid: string; frame: number } | null;
}

/** A place on a picture: which plane (fractions lie between), and row and column of its pixels, corner based. */
export interface OnPlane {
  index: number;
  row: number;
  column: number;
}

/** Whether two directions are perpendicular to within a hundredth of a degree. */
function arePerpendicular(a: Point3, b: Point3): boolean {
  return Math.abs(dot(a, b)) <= 2e-4 * length(a) * length(b);
}

/** The pictures of one kind of planes. */
export class Planes {
  /** `stored` pixels are asked for where they are upright; else `square` ones, which the server straightens. */
  readonly pixels: "stored" | "square";
  readonly count: number;
  /** Axis of the stored array (z, y, x) that the planes are counted along, and whether against its direction. */
  readonly axis: 0 | 1 | 2;
  readonly backwards: boolean;
  readonly rows: number;
  readonly columns: number;
  readonly spacing: [number, number];
  readonly letters: Letters | null;
  /** From one pixel to the next on its right, below, and along the planes' normal (unit length). */
  readonly right: Point3;
  readonly down: Point3;
  readonly normal: Point3;
  /** Corner (0, 0) of each picture, half way through its plane. */
  readonly origins: readonly Point3[];
  /** Distance along the normal of each plane from the first. */
  private readonly depths: readonly number[];

  /**
   * `first` and `last` are the documents of the outermost planes; `slices` are the volume's own uneven slice origins,
   * which count only for planes of the stack.
   */
  constructor(
    readonly name: PlaneName,
    first: SliceDocument,
    last: SliceDocument,
    slices: readonly (readonly number[])[] | null,
  ) {
    const upright = arePerpendicular(column(first.stored.grid.affine, 1), column(first.stored.grid.affine, 2));
    this.pixels = first.stored.uneven || !upright ? "square" : "stored";
    const grid = this.pixels === "stored" ? first.stored.grid : first.grid;
    this.spacing = this.pixels === "stored" ? first.stored.spacing : first.spacing;
    this.count = first.count;
    this.axis = first.stored.axis === "x" ? 2 : first.stored.axis === "y" ? 1 : 0;
    this.backwards = first.stored.index > 0;
    [, this.rows = 1, this.columns = 1] = grid.shape;
    this.letters = first.letters;
    this.down = column(grid.affine, 1);
    this.right = column(grid.affine, 2);
    const normal = cross(this.right, this.down);
    const ends = [middle(grid.affine), middle((this.pixels === "stored" ? last.stored.grid : last.grid).affine)] as const;
    const way = first.count > 1 ? subtract(ends[1], ends[0]) : column(grid.affine, 0);
    const sign = (dot(normal, way) < 0 ? -1 : 1) / length(normal);
    this.normal = [normal[0] * sign, normal[1] * sign, normal[2] * sign];
    const uneven = slices && this.axis === 0 ? unevenOrigins(ends[0], slices, this.backwards) : null;
    this.origins = uneven ?? evenOrigins(ends[0], ends[1], first.count);
    const start = this.origins[0] ?? ends[0];
    this.depths = this.origins.map((origin) => dot(subtract(origin, start), this.normal));
  }

  /** Place in the patient of a place on a plane; `index` is taken to its nearest plane. */
  toWorld({ index, row, column: along }: OnPlane): Point3 {
    const origin = this.origins[this.clamp(index)] ?? [0, 0, 0];
    return add(add(origin, this.down, row), this.right, along);
  }

  /** Place on the nearest plane of a place in the patient; `away` is its distance from that plane in mm. */
  toPlane(world: Point3): OnPlane & { away: number } {
    const start = this.origins[0] ?? [0, 0, 0];
    const depth = dot(subtract(world, start), this.normal);
    let index = 0;
    for (const [k, d] of this.depths.entries()) {
      if (Math.abs(d - depth) < Math.abs((this.depths[index] ?? 0) - depth)) index = k;
    }
    const [row, along, away] = decompose(subtract(world, this.origins[index] ?? start), this.down, this.right, this.normal);
    return { index, row, column: along, away };
  }

  /** Row and column of a place as seen along the normal, on a plane with a given corner. */
  toPicture(world: Point3, origin: Point3): { row: number; column: number } {
    const [row, along] = decompose(subtract(world, origin), this.down, this.right, this.normal);
    return { row, column: along };
  }

  /** Index along the stored axis of a plane. */
  storedIndex(index: number): number {
    return this.backwards ? this.count - 1 - index : index;
  }

  /** Distance along the normal of a plane from the first one, mm. */
  depth(index: number): number {
    return this.depths[this.clamp(index)] ?? 0;
  }

  /** Half the distance to the next plane on either side, mm: what still belongs to a plane. */
  halfStep(index: number): number {
    const here = this.depths[index] ?? 0;
    const near = [this.depths[index - 1], this.depths[index + 1]].flatMap((d) => (d === undefined ? [] : [Math.abs(d - here)]));
    return (near.length ? Math.min(...near) : 1) / 2;
  }

  clamp(index: number): number {
    return Math.min(this.count - 1, Math.max(0, Math.round(index)));
  }
}

/** Corner (0, 0) of a picture half way through its plane. */
function middle(affine: Rows): Point3 {
  return add(column(affine, 3), column(affine, 0), 0.5);
}

function evenOrigins(first: Point3, last: Point3, count: number): Point3[] {
  const step = subtract(last, first);
  return Array.from({ length: count }, (_, k) => add(first, step, count > 1 ? k / (count - 1) : 0));
}

function unevenOrigins(first: Point3, slices: readonly (readonly number[])[], backwards: boolean): Point3[] {
  const shown = (backwards ? [...slices].reverse() : [...slices]).map((p): Point3 => [p[0] ?? 0, p[1] ?? 0, p[2] ?? 0]);
  const start = shown[0] ?? [0, 0, 0];
  return shown.map((origin) => add(first, subtract(origin, start)));
}

export interface Polyline {
  points: [number, number][];
  closed: boolean;
}

/**
 * What a closed ring of a plane looks like on a plane across it: a band as thick as the ring's own plane for each
 * stretch of the cutting line that is inside (even-odd). Points are (column, row) of the cut picture.
 */
export function bandsAcross(ring: readonly Point3[], cut: Planes, index: number, thickness: number, ringNormal: Point3): Polyline[] {
  const origin = cut.origins[index];
  if (!origin || ring.length < 3) return [];
  const heights = ring.map((point) => dot(subtract(point, origin), cut.normal));
  const crossings: Point3[] = [];
  for (const [k, point] of ring.entries()) {
    const next = ring[(k + 1) % ring.length] ?? point;
    const [a = 0, b = 0] = [heights[k], heights[(k + 1) % ring.length]];
    if (a < 0 !== b < 0) crossings.push(add(point, subtract(next, point), a / (a - b)));
  }
  const way = cross(cut.normal, ringNormal);
  crossings.sort((a, b) => dot(a, way) - dot(b, way));
  const found: Polyline[] = [];
  for (let k = 0; k + 1 < crossings.length; k += 2) {
    const ends = [crossings[k], crossings[k + 1]] as [Point3, Point3];
    const corners = [
      add(ends[0], ringNormal, -thickness / 2), add(ends[1], ringNormal, -thickness / 2),
      add(ends[1], ringNormal, thickness / 2), add(ends[0], ringNormal, thickness / 2),
    ];
    found.push({ closed: true, points: corners.map((corner) => onPicture(corner, cut, origin)) });
  }
  return found;
}

function onPicture(world: Point3, cut: Planes, origin: Point3): [number, number] {
  const [row, along] = decompose(subtract(world, origin), cut.down, cut.right, cut.normal);
  return [along, row];
}
