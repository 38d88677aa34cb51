/** Annotations as the interface tells them, and what can be said about them without a server. Pure. */

export type Position = number[];

export type Geometry =
  | { type: "Point"; coordinates: Position }
  | { type: "MultiPoint" | "LineString"; coordinates: Position[] }
  | { type: "MultiLineString" | "Polygon"; coordinates: Position[][] }
  | { type: "MultiPolygon"; coordinates: Position[][][] };

/** What GeoJSON cannot say; see docs/shapes.md. In the image's own frame. */
export type ShapeMember =
  | { type: "box"; minimum: Position; maximum: Position }
  | { type: "rotated-box"; center: Position; size: [number, number]; rotation?: number | number[] }
  | { type: "ellipse"; center: Position; radii: number[]; rotation?: number | number[] }
  | { type: "mask"; box: number[]; order?: "C"; counts: number[] }
  | { type: "keypoints"; points: (Position | null)[]; visibility: number[]; names?: string[]; edges?: [number, number][] }
  | { type: "cuboid" | "contours" | "tag"; [field: string]: unknown };

export interface Properties {
  label: string;
  attributes: Record<string, unknown>;
  version?: number;
  author?: string | null;
  editor?: string | null;
  created?: string | null;
  modified?: string | null;
  origin?: string;
  score?: number | null;
  [name: string]: unknown;
}

export interface Feature {
  type: "Feature";
  id: string;
  geometry: Geometry | null;
  shape?: ShapeMember;
  t?: number;
  properties: Properties;
}

export interface Collection {
  features: Feature[];
  revision: number;
  links: { rel: string; href: string }[];
}

export interface Attribute {
  name: string;
  type: "text" | "number" | "integer" | "boolean" | "choice" | "choices";
  values?: string[];
  required?: boolean;
}

export interface Label {
  name: string;
  value: number;
  order?: number;
  color: string;
  parent?: string | null;
  shapes?: string[];
  attributes?: Attribute[];
  skeleton?: { points: string[]; edges: [number, number][] };
  definition?: string | null;
  [field: string]: unknown;
}

export interface Schema {
  labels: Label[];
  version: number;
  background?: string;
}

/** A random UUID (RFC 9562, version 4). Browsers have one of their own on HTTPS and on this machine only. */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const digits = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** Kind of a feature's shape as label schemas name it. */
export function kindOf(feature: Feature): string {
  if (feature.shape) return feature.shape.type;
  const names: Record<string, string> = {
    Point: "point", MultiPoint: "multipoint", LineString: "line", MultiLineString: "line", Polygon: "polygon", MultiPolygon: "polygon",
  };
  return names[feature.geometry?.type ?? ""] ?? "tag";
}

export type MaskFeature = Feature & { shape: Extract<ShapeMember, { type: "mask" }> };

/** Whether a feature is painted pixels. */
export function isMask(feature: Feature | undefined): feature is MaskFeature {
  return feature?.shape?.type === "mask";
}

/** What is sent of a feature: nothing that the store keeps itself. */
export function writable(feature: Feature): Feature {
  const { label, attributes, origin, score, instance, relations } = feature.properties;
  const kept = Object.entries({ origin, score, instance, relations }).filter(([, value]) => value !== undefined && value !== null);
  const sent: Feature = {
    type: "Feature",
    id: feature.id,
    geometry: feature.shape ? null : feature.geometry,
    properties: { label, attributes: attributes ?? {}, ...Object.fromEntries(kept) },
  };
  if (feature.shape) sent.shape = feature.shape;
  if (feature.t !== undefined) sent.t = feature.t;
  return sent;
}

/** Whether two features say the same; who made them and when does not count. */
export function same(a: Feature | null, b: Feature | null): boolean {
  if (!a || !b) return a === b;
  return JSON.stringify(canonical(turned(writable(a)))) === JSON.stringify(canonical(turned(writable(b))));
}

/** The feature with each ring as if it began at its least corner: where a ring begins, which way it goes, and whether its end repeats its beginning says nothing. */
function turned(feature: Feature): Feature {
  const { geometry, shape } = feature;
  if (shape?.type === "contours" && Array.isArray(shape["rings"])) return { ...feature, shape: { ...shape, rings: (shape["rings"] as Position[][]).map(turnedRing) } };
  if (geometry?.type === "Polygon") return { ...feature, geometry: { ...geometry, coordinates: geometry.coordinates.map(turnedRing) } };
  if (geometry?.type === "MultiPolygon") return { ...feature, geometry: { ...geometry, coordinates: geometry.coordinates.map((part) => part.map(turnedRing)) } };
  return feature;
}

function turnedRing(ring: Position[]): Position[] {
  const corners = String(ring[0]) === String(ring.at(-1)) ? ring.slice(0, -1) : [...ring];
  const before = (a: Position = [], b: Position = []): boolean => {
    const k = a.findIndex((value, n) => value !== b[n]);
    return k >= 0 && (a[k] ?? 0) < (b[k] ?? 0);
  };
  const least = corners.reduce((best, corner, k) => (before(corner, corners[best]) ? k : best), 0);
  const [onwards, back] = [corners[(least + 1) % corners.length], corners.at(least - 1)];
  const from = [...corners.slice(least), ...corners.slice(0, least)];
  return before(back, onwards) ? [...from.slice(0, 1), ...from.slice(1).reverse()] : from;
}

function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)).map(([k, v]) => [k, canonical(v)]));
}

/** Colours for labels of no schema: far apart in hue, told by the name alone. */
export function colourOf(name: string): string {
  let hash = 0;
  for (const letter of name) hash = (hash * 31 + (letter.codePointAt(0) ?? 0)) >>> 0;
  const turn = (hash * 0.618033988749895) % 1;
  const channel = (shift: number): string => {
    const k = (shift + turn * 12) % 12;
    const value = 0.58 - 0.32 * Math.max(-1, Math.min(k - 3, 9 - k, 1));
    return Math.round(255 * value).toString(16).padStart(2, "0");
  };
  return `#${channel(0)}${channel(8)}${channel(4)}`;
}

/** What is wrong with attributes, by the label's schema; empty when all is well. */
export function problemsOf(attributes: Record<string, unknown>, label: Label | undefined): string[] {
  return (label?.attributes ?? []).flatMap((attribute) => {
    const value = attributes[attribute.name];
    const missing = value === undefined || value === null || value === "" || (Array.isArray(value) && !value.length);
    return attribute.required && missing ? [`${attribute.name} is required`] : [];
  });
}

/** Attributes that a new annotation must have from the start: the first of each required choice, false, 0, or "?". */
export function requiredAttributes(label: Label | undefined): Record<string, unknown> {
  const defaults = { text: "?", number: 0, integer: 0, boolean: false };
  return Object.fromEntries((label?.attributes ?? []).filter((a) => a.required).map((a) => {
    if (a.type === "choice") return [a.name, a.values?.[0] ?? ""];
    if (a.type === "choices") return [a.name, a.values?.slice(0, 1) ?? []];
    return [a.name, defaults[a.type]];
  }));
}

/** Run lengths, zeros first, of the set pixels of a box; x fastest. Pixels are 0 or 1. */
export function runsOf(bits: Uint8Array): number[] {
  const runs: number[] = [];
  let at = 0;
  for (let value = 0; at < bits.length || !runs.length; value ^= 1) {
    const next = bits.indexOf(value ^ 1, at); // the engine's own search: masks of volumes have millions of voxels
    const end = next < 0 ? bits.length : next;
    runs.push(end - at);
    at = end;
  }
  return runs;
}

/** Pixels of run lengths. */
export function bitsOf(runs: readonly number[], size: number): Uint8Array {
  const bits = new Uint8Array(size);
  let at = 0;
  for (const [k, count] of runs.entries()) {
    if (k % 2) bits.fill(1, at, at + count);
    at += count;
  }
  return bits;
}
