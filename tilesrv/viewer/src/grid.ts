/** Affine geometry of images: index (corner based, array order) to world and back. Pure. */

export type Rows = readonly (readonly number[])[];
export type Point2 = readonly [number, number];
export type Point3 = readonly [number, number, number];

/** A raster's grid. The map's coordinates are pixels of it: x to the right, y up, so that row r lies at y = -r. */
export class Grid2 {
  private readonly a: number;
  private readonly b: number;
  private readonly c: number;
  private readonly d: number;
  private readonly e: number;
  private readonly f: number;
  private readonly determinant: number;

  /** `rows` take (row, column, 1) to (x, y). */
  constructor(
    rows: Rows,
    readonly height: number,
    readonly width: number,
  ) {
    [this.a = 0, this.b = 0, this.c = 0] = rows[0] ?? [];
    [this.d = 0, this.e = 0, this.f = 0] = rows[1] ?? [];
    this.determinant = this.a * this.e - this.b * this.d;
    if (!this.determinant) throw new RangeError("the grid's affine has no inverse");
  }

  /** World place of a column and row. */
  toWorld([column, row]: Point2): [number, number] {
    return [this.a * row + this.b * column + this.c, this.d * row + this.e * column + this.f];
  }

  /** Column and row of a world place. */
  toIndex([x, y]: Point2): [number, number] {
    const [dx, dy] = [x - this.c, y - this.f];
    return [(this.a * dy - this.d * dx) / this.determinant, (this.e * dx - this.b * dy) / this.determinant];
  }

  /** World place of a place on the map. */
  fromMap([x, y]: Point2): [number, number] {
    return this.toWorld([x, -y]);
  }

  /** Place on the map of a world place. */
  toMap(world: Point2): [number, number] {
    const [column, row] = this.toIndex(world);
    return [column, -row];
  }

  /** Whether a column and row lie on the image. */
  holds([column, row]: Point2): boolean {
    return column >= 0 && row >= 0 && column < this.width && row < this.height;
  }

  /** Angle in world, in degrees from +x towards +y, of a direction on the map. */
  worldAngle([x, y]: Point2): number {
    const [fromX, fromY] = this.fromMap([0, 0]);
    const [toX, toY] = this.fromMap([x, y]);
    return (Math.atan2(toY - fromY, toX - fromX) * 180) / Math.PI;
  }
}

export type Matrix = readonly [Point3, Point3, Point3];

export function add(a: Point3, b: Point3, factor = 1): Point3 {
  return [a[0] + factor * b[0], a[1] + factor * b[1], a[2] + factor * b[2]];
}

export function subtract(a: Point3, b: Point3): Point3 {
  return [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
}

export function dot(a: Point3, b: Point3): number {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

export function cross(a: Point3, b: Point3): Point3 {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
}

export function length(a: Point3): number {
  return Math.hypot(...a);
}

/** Weights of three directions that add up to a vector (Cramer's rule). */
export function decompose(vector: Point3, u: Point3, v: Point3, w: Point3): [number, number, number] {
  const volume = dot(u, cross(v, w));
  if (!volume) throw new RangeError("the directions lie in one plane");
  return [dot(vector, cross(v, w)) / volume, dot(vector, cross(w, u)) / volume, dot(vector, cross(u, v)) / volume];
}

/** Column `k` of the rows of an affine. */
export function column(rows: Rows, k: number): Point3 {
  return [rows[0]?.[k] ?? 0, rows[1]?.[k] ?? 0, rows[2]?.[k] ?? 0];
}
