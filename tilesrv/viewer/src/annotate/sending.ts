/** How each change of an annotation is told to the server. */

import { ask, imagePath, Problem } from "../api";
import type { Feature } from "./model";
import type { Entry, Outcome } from "./outbox";

/** Milliseconds without an answer after which a change is sent again. */
const PATIENCE = 60_000;

/** Send a change made from a version. Raises Problem. */
export async function send(entry: Entry, base: number): Promise<Outcome> {
  const path = `annotations/${entry.id}`;
  const match = { "If-Match": `"${base}"` };
  const json = { "Content-Type": "application/geo+json" };
  if (entry.kind === "delete") {
    await change(path, { method: "DELETE", headers: match });
    return { entry, version: base + 1, feature: null };
  }
  if (entry.kind === "paint") {
    const headers = { "If-Match": "*", "Content-Type": "application/json" };
    const { version } = await told<{ version: number }>(await change(`${path}/patches`, { method: "POST", body: JSON.stringify(entry.stroke), headers }));
    return { entry, version, feature: null };
  }
  const body = JSON.stringify(entry.feature);
  const answer = entry.kind === "add"
    ? await change(imagePath(entry.image, "/annotations?crs=native"), { method: "POST", body, headers: { ...json, "Idempotency-Key": entry.key } })
    : await change(`${path}?crs=native`, { method: "PUT", body, headers: { ...json, ...match } });
  const feature = await told<Feature>(answer);
  return { entry, version: feature.properties.version ?? base + 1, feature };
}

function change(path: string, init: RequestInit): Promise<Response> {
  return ask(path, { ...init, signal: AbortSignal.timeout(PATIENCE) });
}

/** The document of an answer. A connection that breaks within it is no other than one that breaks before. */
async function told<T>(answer: Response): Promise<T> {
  try {
    return (await answer.json()) as T;
  } catch {
    throw new Problem(0, "The server's answer got lost.");
  }
}
