/** What is painted and drawn on slices: voxels beneath a brush, boxes and ellipses, what lies between two slices. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { blend, distancesTo, latticeOf, outlinesOf, pixelDistances, pixelsBetween, thinned } from "../src/annotate/between";
import { isSet, maskOfStroke, painted, touches, type Mask } from "../src/annotate/brush";
import { componentsOf } from "../src/annotate/components";
import { bitsOf, type Feature } from "../src/annotate/model";
import { staircases } from "../src/annotate/staircase";
import { cross, dot, length, subtract, type Point3 } from "../src/grid";
import { Planes, type SliceDocument } from "../src/volume/geometry";
import { moved, movedRings } from "../src/volume/moving";
import { pictureRings, ringsOf, sectionsOf } from "../src/volume/sections";
import { copied, filledBetween } from "../src/volume/slices";
import { cutSolid, handlesOf, placeOn, solidBetween, solidMember, solidOf, withHandle, type Solid } from "../src/volume/solids";
import { filled, outlined } from "../src/volume/surgery";
import { sliceOf, Voxels } from "../src/volume/voxels";

const AFFINE = [[0, 0, 0.7, -10], [0, 0.5, 0, -20], [3, 0, 0, 98.5]]; // z, y, x, 1 to x, y, z
const SHAPE = [11, 40, 30];

function document(index: number, count: number, columns: Point3[], shape: [number, number], axis: string): SliceDocument {
  const grid = { shape: [1, ...shape], affine: [0, 1, 2].map((k) => columns.map((c) => c[k] ?? 0)) };
  const spacing: [number, number] = [length(columns[1] ?? [1, 0, 0]), length(columns[2] ?? [1, 0, 0])];
  return { index, count, grid, spacing, letters: null, position: 0, stored: { axis, index, grid, spacing, uneven: false }, instance: null };
}

function axial(slices: number[][] | null = null): Planes {
  const at = (k: number): SliceDocument => document(k, 11, [[0, 0, 3], [0, 0.5, 0], [0.7, 0, 0], [-10, -20, 98.5 + 3 * k]], [40, 30], "z");
  return new Planes("axial", at(0), at(10), slices);
}

/** Seen from the front, head up: rows run against z. */
function coronal(): Planes {
  const at = (k: number): SliceDocument => document(k, 40, [[0, 0.5, 0], [0, 0, -3], [0.7, 0, 0], [-10, -20 + 0.5 * k, 131.5]], [11, 30], "y");
  return new Planes("coronal", at(0), at(39), null);
}

/** Counted from the left: against x. */
function sagittal(): Planes {
  const at = (k: number): SliceDocument => document(29 - k, 30, [[-0.7, 0, 0], [0, 0, -3], [0, 0.5, 0], [11 - 0.7 * k, -20, 131.5]], [11, 40], "x");
  const [first, last] = [at(0), at(29)];
  return new Planes("sagittal", { ...first, index: 0 }, { ...last, index: 29 }, null);
}

const voxels = new Voxels(AFFINE, SHAPE, null);

/** Slices that move on sidewards, as with a tilted gantry. */
const leaning = new Voxels([[0, 0, 0.7, -10], [0.8, 0.5, 0, -20.4], [3, 0, 0, 98.5]], SHAPE, null);

function leaningAxial(): Planes {
  const at = (k: number): SliceDocument => document(k, 11, [[0, 0.8, 3], [0, 0.5, 0], [0.7, 0, 0], [-10, -20.4 + 0.8 * k, 98.5 + 3 * k]], [40, 30], "z");
  return new Planes("axial", at(0), at(10), null);
}

function voxelsOf(mask: Mask): string[] {
  const [x0 = 0, y0 = 0, x1 = 0, y1 = 0, z0 = 0, z1 = 0] = mask.box;
  const found: string[] = [];
  for (let z = z0; z < z1; z++) for (let y = y0; y < y1; y++) for (let x = x0; x < x1; x++) if (isSet(mask, x, y, z)) found.push([z, y, x].join());
  return found;
}

test("a brush paints the voxels of its slice whose centres it went over, on every kind of planes", () => {
  for (const [planes, index, grid] of [[axial(), 4, voxels], [coronal(), 7, voxels], [sagittal(), 3, voxels], [leaningAxial(), 5, leaning]] as const) {
    const [from, to, radius] = [[6, 4], [11, 6.5], 2.2] as const;
    const stroke = grid.stroke(planes, index, [from, to], radius);
    assert.ok(stroke);
    const found = voxelsOf(maskOfStroke(stroke));
    const expected: string[] = [];
    const [a, b] = [from, to].map(([column, row]) => planes.toWorld({ index, row, column })) as [Point3, Point3];
    for (let z = 0; z < 11; z++) for (let y = 0; y < 40; y++) for (let x = 0; x < 30; x++) {
      if ([z, y, x][planes.axis] !== planes.storedIndex(index)) continue;
      const centre = grid.toWorld([z + 0.5, y + 0.5, x + 0.5]);
      const way = subtract(b, a);
      const share = Math.min(1, Math.max(0, dot(subtract(centre, a), way) / dot(way, way)));
      const near: Point3 = [a[0] + share * way[0], a[1] + share * way[1], a[2] + share * way[2]];
      if (length(subtract(centre, near)) <= radius) expected.push([z, y, x].join());
    }
    assert.ok(expected.length > 8);
    assert.deepEqual(found.sort(), expected.sort());
  }
});

test("a mask is seen on each plane as the slice through it", () => {
  const box = [3, 5, 9, 12, 2, 7];
  const bits = Uint8Array.from({ length: 6 * 7 * 5 }, (_, k) => ((k * 2654435761) % 97 < 40 ? 1 : 0));
  const mask = maskOfStroke({ box, bits });
  for (const planes of [axial(), coronal(), sagittal()]) {
    for (let index = 0; index < planes.count; index++) {
      const slice = sliceOf(mask, planes, index);
      const k = planes.storedIndex(index);
      for (const name of voxelsOf(mask)) {
        const [z = 0, y = 0, x = 0] = name.split(",").map(Number);
        const at: Point3 = [z, y, x];
        if (at[planes.axis] !== k) continue;
        const [lines, along] = voxels.axesOn(planes);
        const [q0, p0, q1] = slice?.rectangle ?? [0, 0, 0];
        assert.equal(slice?.bits[(at[lines] - p0) * (q1 - q0) + at[along] - q0], 1);
      }
      const inside = voxelsOf(mask).filter((name) => Number(name.split(",")[planes.axis]) === k).length;
      assert.equal(slice ? slice.bits.reduce((sum, bit) => sum + bit, 0) : 0, inside);
    }
  }
});

test("the voxel beneath a place is the one that holds it", () => {
  for (const planes of [axial(), coronal(), sagittal()]) {
    const at = voxels.at(planes, 5, [7.3, 6.8]);
    assert.ok(at);
    const world = planes.toWorld({ index: 5, row: 6.8, column: 7.3 });
    const centre = voxels.toWorld([at[0] + 0.5, at[1] + 0.5, at[2] + 0.5]);
    assert.ok(Math.abs(world[0] - centre[0]) <= 0.35 && Math.abs(world[1] - centre[1]) <= 0.25 && Math.abs(world[2] - centre[2]) <= 1.5);
    assert.equal(voxels.at(planes, 5, [-0.1, 3]), null);
  }
});

test("voxels of uneven slices lie where their slices do", () => {
  const heights = [0, 1, 5, 6];
  const slices = heights.map((z) => [0, 0, z]);
  const uneven = new Voxels([[0, 0, 1, 0], [0, 1, 0, 0], [2, 0, 0, -1]], [4, 4, 4], slices);
  assert.deepEqual(heights.map((_, k) => uneven.toWorld([k + 0.5, 2, 1])), heights.map((z) => [1, 2, z]));
  assert.deepEqual(uneven.toWorld([2, 0, 0]), [0, 0, 3]);
  assert.deepEqual(uneven.toWorld([0, 0, 0]), [0, 0, -0.5]);
  const at = (k: number): SliceDocument => document(k, 4, [[0, 1, 0], [0, 0, -1], [1, 0, 0], [0, k, 7]], [8, 4], "y");
  const planes = new Planes("coronal", at(0), at(3), slices);
  assert.deepEqual(uneven.at(planes, 1, [2.5, 7 - 3.5]), [2, 1, 2]);
  assert.deepEqual(uneven.at(planes, 1, [2.5, 7 - 2.5]), [1, 1, 2]);
});

test("strokes on several slices make one mask, and are taken away again", () => {
  const planes = axial();
  const [a, b] = [3, 6].map((index) => voxels.stroke(planes, index, [[10, 10]], 2));
  assert.ok(a && b);
  const both = painted(maskOfStroke(a), b, "add");
  assert.ok(both && touches(both, a) && touches(both, b));
  assert.deepEqual(both.box.slice(4), [3, 7]);
  assert.equal(voxelsOf(both).length, voxelsOf(maskOfStroke(a)).length + voxelsOf(maskOfStroke(b)).length);
  const less = painted(both, a, "subtract");
  assert.ok(less && !touches(less, a));
  assert.deepEqual(voxelsOf(less), voxelsOf(maskOfStroke(b)));
});

test("a box drawn on a slice is as thick as the slice", () => {
  for (const planes of [axial(), coronal(), sagittal()]) {
    const [a, b] = [planes.toWorld({ index: 4, row: 3, column: 20 }), planes.toWorld({ index: 4, row: 8, column: 6 })];
    const box = solidBetween("box", a, b, { right: planes.right, down: planes.down, normal: planes.normal, half: planes.halfStep(4) });
    const member = solidMember(box);
    assert.ok(member.type === "box");
    for (const k of [0, 1, 2] as const) {
      const [low, high] = [Math.min(a[k], b[k]), Math.max(a[k], b[k])];
      const thick = Math.abs(planes.normal[k]) * planes.halfStep(4);
      assert.ok(Math.abs((member.minimum[k] ?? 0) - low + thick) < 1e-9 && Math.abs((member.maximum[k] ?? 0) - high - thick) < 1e-9);
    }
    const seen = Array.from({ length: planes.count }, (_, k) => cutSolid(box, planes.origins[k] ?? a, planes.normal, planes.halfStep(k)).length);
    assert.deepEqual(seen.flatMap((count, k) => (count ? [[k, count]] : [])), [[4, 4]]);
  }
});

test("on a slice that leans a box keeps the slice's own directions", () => {
  const [c, s] = [Math.cos(0.2), Math.sin(0.2)];
  const slab = { right: [c, s, 0] as Point3, down: [-s, c, 0] as Point3, normal: [0, 0, 1] as Point3, half: 1.5 };
  const member = solidMember(solidBetween("box", [0, 0, 5], [c * 4 - s * 2, s * 4 + c * 2, 5], slab));
  assert.equal(member.type, "cuboid");
  assert.deepEqual((member["size"] as number[]).map((v) => Math.round(v * 1e9) / 1e9), [4, 2, 3]);
  const back = solidOf(member);
  assert.ok(back && Math.abs(dot(back.axes[0], slab.right) - 1) < 1e-12);
});

const ellipse: Solid = { kind: "ellipse", center: [1, 2, 3], axes: [[1, 0, 0], [0, 1, 0], [0, 0, 1]], half: [4, 2, 0], flat: true };

test("an ellipse is seen on its slice, as a line across, and nowhere else", () => {
  const own = cutSolid(ellipse, [0, 0, 3.4], [0, 0, 1], 0.5);
  assert.equal(own.length, 64);
  assert.ok(own.every(([x, y]) => Math.abs(((x - 1) / 4) ** 2 + ((y - 2) / 2) ** 2 - 1) < 1e-9));
  assert.deepEqual(cutSolid(ellipse, [0, 0, 3.6], [0, 0, 1], 0.5), []);
  const across = cutSolid(ellipse, [3, 0, 0], [1, 0, 0], 0.5);
  assert.equal(across.length, 2);
  assert.ok(across.every(([x, y]) => Math.abs(x - 3) < 1e-9 && Math.abs(((3 - 1) / 4) ** 2 + ((y - 2) / 2) ** 2 - 1) < 1e-9));
  const ball: Solid = { ...ellipse, half: [4, 2, 3], flat: false };
  const cut = cutSolid(ball, [0, 0, 4.5], [0, 0, 1], 0.5);
  assert.ok(cut.length === 64 && cut.every(([x, y, z]) => Math.abs(((x - 1) / 4) ** 2 + ((y - 2) / 2) ** 2 + ((z - 3) / 3) ** 2 - 1) < 1e-9 && Math.abs(z - 4.5) < 1e-9));
});

test("solids follow their handles", () => {
  const normal: Point3 = [0, 0, 1];
  const corner = withHandle({ ...ellipse, kind: "box", half: [4, 2, 1], flat: false }, [1, 1, 0], [8, 5, 99], normal);
  assert.deepEqual(solidMember(corner), { type: "box", minimum: [-3, 0, 2], maximum: [8, 5, 4] });
  const turned = withHandle(ellipse, [1, 0, 0], [1, 8, 3], normal);
  assert.deepEqual(turned.half, [6, 2, 0]);
  assert.ok(Math.abs(dot(turned.axes[0], [0, 1, 0]) - 1) < 1e-12 && Math.abs(dot(cross(turned.axes[0], turned.axes[1]), turned.axes[2]) - 1) < 1e-12);
  const back = solidOf(solidMember(turned));
  assert.ok(back && [[1, 0, 0], [0, 1, 0], [-1, 0, 0]].every((place) => length(subtract(placeOn(back, place as unknown as Point3), placeOn(turned, place as unknown as Point3))) < 1e-12));
  const moved = withHandle(ellipse, [0, 0, 0], [7, 7, 7], normal);
  assert.deepEqual(moved.center, [7, 7, 3]);
  assert.equal(handlesOf(ellipse, normal).length, 5);
  assert.equal(handlesOf(ellipse, [1, 0, 0]).length, 0);
});

function contours(planes: Planes, rings: [number, [number, number][]][]): Feature {
  const found = rings.map(([index, points]) => points.map(([column, row]) => [...planes.toWorld({ index, row, column })]));
  return { type: "Feature", id: "a", geometry: null, shape: { type: "contours", rings: found }, properties: { label: "x", attributes: {} } };
}

function square(low: number, high: number): [number, number][] {
  return [[low, low], [high, low], [high, high], [low, high]];
}

test("between two like outlines lies the same outline, and half way between two squares a square", () => {
  const planes = axial();
  const same = filledBetween(contours(planes, [[2, square(8, 16)], [5, square(8, 16)]]), planes, voxels);
  assert.equal(same?.count, 2);
  const rings = pictureRings(same.feature, planes);
  assert.deepEqual([...rings.keys()].sort(), [2, 3, 4, 5]);
  const near = (points: readonly [number, number][], low: number, high: number, tolerance: number): void => {
    for (const [c, r] of points) assert.ok(Math.min(Math.abs(c - low), Math.abs(c - high), Math.abs(r - low), Math.abs(r - high)) < tolerance && c > low - tolerance && c < high + tolerance && r > low - tolerance && r < high + tolerance, `${c}, ${r}`);
  };
  for (const index of [3, 4]) near(rings.get(index)?.[0]?.points ?? [[0, 0]], 8, 16, 0.15);
  assert.equal(filledBetween(contours(planes, [[2, square(8, 16)], [3, square(8, 16)]]), planes, voxels), null);
});

test("a hole goes on between slices, and what moves too far is not joined", () => {
  const planes = axial();
  const holed = filledBetween(contours(planes, [[2, square(4, 24)], [2, square(10, 18)], [4, square(4, 24)], [4, square(10, 18)]]), planes, voxels);
  assert.equal(pictureRings(holed?.feature ?? contours(planes, []), planes).get(3)?.length, 2);
  assert.equal(filledBetween(contours(planes, [[2, square(2, 5)], [4, square(20, 23)]]), planes, voxels), null);
});

test("outlines are found where the sign changes", () => {
  const ring = Array.from({ length: 90 }, (_, k): [number, number] => [10 * Math.cos(k * 0.0698), 10 * Math.sin(k * 0.0698)]);
  const lattice = latticeOf([ring], 0.25);
  const field = distancesTo([ring], lattice);
  const [found, ...more] = outlinesOf(field);
  assert.equal(more.length, 0);
  assert.ok(found && found.length > 20 && found.every(([x, y]) => Math.abs(Math.hypot(x, y) - 10) < 0.05));
  const smaller = outlinesOf(blend(field, { ...field, values: field.values.map((v) => v - 4) }, 0.5))[0];
  assert.ok(smaller?.every(([x, y]) => Math.abs(Math.hypot(x, y) - 8) < 0.05));
  assert.deepEqual(thinned([[0, 0], [1, 0], [2, 0], [2, 2], [1, 2.001], [0, 2]], 0.01), [[0, 0], [2, 0], [2, 2], [0, 2]]);
});

test("pixels between two pictures are those nearer to the inside", () => {
  const picture = (low: number, high: number) => ({ wide: 11, tall: 11, bits: Uint8Array.from({ length: 121 }, (_, k) => {
    const [y, x] = [Math.floor(k / 11), k % 11];
    return x >= low && x < high && y >= low && y < high ? 1 : 0;
  }) });
  const [a, b] = [pixelDistances(picture(1, 10), [1, 1]), pixelDistances(picture(4, 7), [1, 1])];
  assert.equal(a[5 * 11 + 5], 5);
  assert.equal(b[0], -Math.hypot(4, 4));
  const middle = pixelsBetween(a, b, 0.5);
  assert.equal(middle[5 * 11 + 5], 1);
  const wide = [...middle.subarray(55, 66)].reduce((sum, bit) => sum + bit, 0);
  assert.ok(wide > 3 && wide < 9);
});

test("a mask is filled between its slices, and copied to the next", () => {
  const planes = axial();
  const [a, b] = [3, 6].map((index) => voxels.stroke(planes, index, [[12, 16]], 3));
  assert.ok(a && b);
  const shape = painted(maskOfStroke(a), b, "add");
  assert.ok(shape);
  const feature: Feature = { type: "Feature", id: "m", geometry: null, shape, properties: { label: "x", attributes: {} } };
  const filled = filledBetween(feature, planes, voxels);
  assert.equal(filled?.count, 2);
  const one = bitsOf((maskOfStroke(a)).counts, a.bits.length).reduce((sum, bit) => sum + bit, 0);
  assert.equal(voxelsOf(filled.feature.shape as Mask).length, 4 * one);
  const copy = copied(feature, planes, voxels, 6, 7);
  assert.deepEqual((copy?.feature?.shape as Mask).box.slice(4), [3, 8]);
  assert.equal(copied(feature, planes, voxels, 4, 5), null);
});

test("boxes reach on to the next slice, ellipses are copied, contours too", () => {
  const planes = axial();
  const [a, b] = [planes.toWorld({ index: 4, row: 3, column: 6 }), planes.toWorld({ index: 4, row: 8, column: 20 })];
  const slab = { right: planes.right, down: planes.down, normal: planes.normal, half: planes.halfStep(4) };
  const made = (kind: "box" | "ellipse"): Feature => ({ type: "Feature", id: "s", geometry: null, shape: solidMember(solidBetween(kind, a, b, slab)), properties: { label: "x", attributes: {} } });
  const box = copied(made("box"), planes, voxels, 4, 5);
  assert.equal(box?.id, "s");
  const seen = (feature: Feature | null | undefined): number[] => Array.from({ length: 11 }, (_, k) => k).filter((k) => feature && sectionsOf(feature, planes, k, () => 3).length);
  assert.deepEqual(seen(box?.feature), [4, 5]);
  const ellipse = copied(made("ellipse"), planes, voxels, 4, 3);
  assert.notEqual(ellipse?.id, "s");
  assert.deepEqual(seen(ellipse?.feature), [3]);
  const ring = copied(contours(planes, [[4, square(5, 9)]]), planes, voxels, 4, 5);
  assert.equal(ringsOf(ring?.feature ?? contours(planes, [])).length, 2);
  assert.deepEqual(seen(ring?.feature), [4, 5]);
  // what was there already is replaced: the same outline twice would be nothing
  const again = copied(ring?.feature ?? contours(planes, []), planes, voxels, 4, 5);
  assert.equal(ringsOf(again?.feature ?? contours(planes, [])).length, 2);
});

/** Two blobs that meet at a corner only, one of them with a hole, and a third over two slices. */
function blobs(): Feature {
  const bits = new Uint8Array(3 * 8 * 9);
  const set = (x: number, y: number, z: number): void => void (bits[(z * 8 + y) * 9 + x] = 1);
  for (let y = 0; y < 3; y++) for (let x = 0; x < 3; x++) if (x !== 1 || y !== 1) set(x, y, 0);
  set(3, 3, 0);
  set(4, 3, 0);
  for (const z of [1, 2]) set(8, 7, z);
  return { type: "Feature", id: "m", geometry: null, shape: maskOfStroke({ box: [5, 6, 14, 14, 2, 5], bits }), properties: { label: "x", attributes: {} } };
}

test("what is painted falls into pieces that share faces, and the pieces together are what it was", () => {
  const { shape } = blobs();
  const pieces = componentsOf(shape as Mask);
  assert.deepEqual(pieces.map((piece) => voxelsOf(piece).length), [8, 2, 2]);
  assert.deepEqual(pieces.map((piece) => piece.box), [[5, 6, 8, 9, 2, 3], [8, 9, 10, 10, 2, 3], [13, 13, 14, 14, 3, 5]]);
  assert.deepEqual(pieces.flatMap(voxelsOf).sort(), voxelsOf(shape as Mask).sort());
  const flat = componentsOf(maskOfStroke({ box: [0, 0, 4, 2], bits: Uint8Array.from([1, 1, 0, 1, 0, 1, 0, 1]) }));
  assert.deepEqual(flat.map(({ box, counts }) => [box, counts]), [[[0, 0, 2, 2], [0, 2, 1, 1]], [[3, 0, 4, 2], [0, 2]]]);
});

test("pieces of noise are those that a flood finds", () => {
  const [wide, tall, deep] = [13, 11, 7];
  let seed = 7;
  const bits = Uint8Array.from({ length: wide * tall * deep }, () => Number((seed = (seed * 48271) % 2147483647) % 100 < 38));
  const left = new Set<number>();
  bits.forEach((bit, k) => bit && left.add(k));
  const sizes: number[] = [];
  for (const start of left) {
    const front = [start];
    left.delete(start);
    for (let n = 0; n < front.length; n++) {
      const k = front[n] as number;
      const [x, y] = [k % wide, Math.floor(k / wide) % tall];
      const near = [x > 0 && k - 1, x + 1 < wide && k + 1, y > 0 && k - wide, y + 1 < tall && k + wide, k - wide * tall, k + wide * tall];
      for (const other of near) if (other !== false && left.delete(other)) front.push(other);
    }
    sizes.push(front.length);
  }
  const found = componentsOf(maskOfStroke({ box: [0, 0, wide, tall, 0, deep], bits }));
  assert.ok(sizes.length > 20);
  assert.deepEqual(found.map((piece) => voxelsOf(piece).length), sizes.sort((a, b) => b - a));
});

test("what is outlined along its voxels and painted again is the same, on every kind of planes", () => {
  for (const [planes, grid] of [[axial(), voxels], [coronal(), voxels], [sagittal(), voxels], [leaningAxial(), leaning]] as const) {
    const feature = blobs();
    const rings = outlined(feature, planes, grid);
    assert.equal(rings?.shape?.type, "contours");
    assert.ok(rings && ringsOf(rings).every((ring) => ring.length >= 4 && ring.length % 2 === 0));
    const back = filled(rings, planes, grid);
    assert.deepEqual(voxelsOf(back?.shape as Mask).sort(), voxelsOf(feature.shape as Mask).sort());
  }
  const around = staircases(Uint8Array.from([1, 0, 0, 1]), 2, 2);
  assert.deepEqual(around, [[[0, 0], [1, 0], [1, 1], [0, 1]], [[1, 1], [2, 1], [2, 2], [1, 2]]]);
});

test("whole annotations move by millimetres, and what is painted by voxels, no further than the volume", () => {
  const planes = axial();
  const size = [30, 40, 11] as const;
  const by: Point3 = [1.4, -1, 0];
  const steps = voxels.stepsOf(by);
  assert.deepEqual(steps.map((step) => Math.round(step * 1e9) / 1e9 + 0), [2, -2, 0]);
  const ring = contours(planes, [[4, square(5, 9)], [5, square(5, 9)]]);
  const there = moved(ring, by, steps, size);
  assert.deepEqual(there && ringsOf(there).flat().map((p, k) => p.map((value, n) => Math.round((value - (ringsOf(ring).flat()[k]?.[n] ?? 0)) * 1e9) / 1e9)), ringsOf(ring).flat().map(() => [1.4, -1, 0]));
  assert.deepEqual(ringsOf(movedRings(ring, new Set([1]), by))[0], ringsOf(ring)[0]);
  assert.deepEqual((moved(blobs(), by, steps, size)?.shape as Mask).box, [7, 4, 16, 12, 2, 5]);
  assert.deepEqual((moved(blobs(), by, [99, -99, 0], size)?.shape as Mask).box, [21, 0, 30, 8, 2, 5]);
  const keypoints: Feature = { ...blobs(), shape: { type: "keypoints", points: [[0, 0, 100], null, [1, 1, 103]], visibility: [2, 0, 2], names: ["a", "b", "c"], edges: [[0, 2]] } };
  assert.deepEqual((moved(keypoints, [1, 2, 3], [0, 0, 0], size)?.shape as { points: unknown }).points, [[1, 2, 103], null, [2, 3, 106]]);
});

test("key points are seen near their own slices, their joins where both ends are", () => {
  const planes = axial();
  const at = (index: number, row: number, column: number): number[] => [...planes.toWorld({ index, row, column })];
  const feature: Feature = { ...blobs(), shape: { type: "keypoints", points: [at(4, 5, 6), at(4, 9, 6), at(7, 9, 6), null], visibility: [2, 1, 2, 0], names: ["a", "b", "c", "d"], edges: [[0, 1], [1, 2], [0, 3]] } };
  const seen = (index: number): string[] => sectionsOf(feature, planes, index, () => 3).map(({ kind, corner, name }) => `${kind} ${corner ?? ""} ${name ?? ""}`.trim());
  assert.deepEqual(seen(4), ["join", "point 0 a", "point 1 b"]);
  assert.deepEqual(seen(7), ["point 2 c"]);
  assert.deepEqual(seen(5), []);
  const front = coronal();
  const { index } = front.toPlane([at(4, 5, 6)[0] ?? 0, at(4, 5, 6)[1] ?? 0, at(4, 5, 6)[2] ?? 0]);
  assert.ok(sectionsOf(feature, front, index, () => 3).some(({ name }) => name === "a"));
});
