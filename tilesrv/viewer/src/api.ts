/** The server as this viewer knows it: requests, and the documents that come back. */

import { credentials, UNKNOWN } from "./session";

export interface Band {
  name: string;
  interpretation: string;
  unit?: string | null;
  scale?: number;
  offset?: number;
  nodata?: number | string | null;
}

export interface Frame {
  type: "geo" | "patient" | "pixel";
  crs?: string;
  uid?: string;
  /** Millimetres from row to row and from column to column, of pictures that know it. */
  spacing?: [number, number];
}

export interface Verdict {
  code: string;
  message: string;
  instances: string[];
}

export interface Level {
  path: string;
  shape: number[];
  affine: number[][];
}

export interface ImageRecord {
  id: string;
  store: string;
  role: "image" | "labels";
  shape: number[];
  axes: string[];
  dtype: string;
  frame: Frame;
  affine: number[][];
  levels: Level[];
  bands: Band[];
  value: { unit?: string | null; slope?: number | number[]; intercept?: number | number[] };
  slices: number[][] | null;
  window: [number, number][];
  nodata: number | string | null;
  verdicts: Verdict[];
  provenance: Record<string, unknown>;
  palette?: Record<string, number[]> | null;
  extra?: Record<string, unknown>;
}

export interface Job {
  id: string;
  kind: string;
  state: "queued" | "running" | "done" | "failed" | "cancelled";
  source: string;
  progress: number | null;
  message: string;
  images: string[];
}

export interface Histogram {
  counts: number[];
  edges: number[];
}

export interface BandStatistics {
  number: number;
  name: string;
  min: number | null;
  max: number | null;
  mean: number | null;
  std: number | null;
  valid_pixels: number;
  percentiles: Record<string, number>;
  histogram: Histogram;
}

export interface Statistics {
  level: number;
  exact: boolean;
  pixels: number;
  bands: BandStatistics[];
}

export interface PointValues {
  index: number[];
  valid: boolean;
  values: (number | null)[];
  physical: (number | null)[];
  bands: { number: number; name: string; unit: string | null }[];
  lonlat?: [number, number] | null;
}

/** What the server said went wrong (RFC 9457), or that it could not be reached. */
export class Problem extends Error {
  readonly status: number;
  readonly problems: string[];
  readonly body: Record<string, unknown>;

  constructor(status: number, message: string, body: Record<string, unknown> = {}) {
    super(message);
    this.name = "Problem";
    this.status = status;
    this.body = body;
    const listed = body["problems"];
    this.problems = Array.isArray(listed) ? listed.map((item) => (typeof item === "string" ? item : JSON.stringify(item))) : [];
  }

  /** Whether nobody answered: asking again later may help. */
  get isAway(): boolean {
    return this.status === 0 || this.status === 502 || this.status === 503 || this.status === 504;
  }

  /** Whether the same may be taken another time: the fault is the server's or the network's, not that of what was sent. */
  get isPassing(): boolean {
    return this.isAway || [408, 425, 429].includes(this.status) || (this.status >= 500 && this.status !== 501 && this.status !== 505);
  }
}

/** Address of a path of the interface. */
export function address(path: string): string {
  return new URL(path, document.baseURI).href;
}

/** Path of one image, its id made safe. */
export function imagePath(id: string, rest = ""): string {
  return `images/${encodeURIComponent(id)}${rest}`;
}

/** Ask, and return the answer. Raises Problem for every answer but success. */
export async function ask(path: string, init: RequestInit = {}): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(address(path), { ...init, headers: { ...init.headers, ...credentials() } as Record<string, string> });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Problem(0, "The server cannot be reached.");
  }
  if (answer.status === 401) dispatchEvent(new Event(UNKNOWN));
  if (!answer.ok) throw await problemOf(answer);
  return answer;
}

/** The problem that an answer tells. */
export async function problemOf(answer: Response): Promise<Problem> {
  const text = await answer.text();
  try {
    const body = JSON.parse(text) as Record<string, unknown>;
    return new Problem(answer.status, String(body["detail"] ?? body["title"] ?? answer.statusText), body);
  } catch {
    return new Problem(answer.status, `${answer.status} ${answer.statusText}`.trim());
  }
}

/** Ask for a JSON document. */
export async function getJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  const answer = await ask(path, signal ? { signal } : {});
  return (await answer.json()) as T;
}

/** Words for anything that was thrown. */
export function words(error: unknown): string {
  if (error instanceof Problem && error.problems.length > 1) return `${error.message} ${error.problems.join(" ")}`;
  return error instanceof Error ? error.message : String(error);
}

/** Whether an error only says that we no longer wanted the answer. */
export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}
