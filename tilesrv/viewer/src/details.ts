/** What is known about an image, in a sheet. */

import type { ImageRecord } from "./api";
import { h, type Child } from "./dom";
import { frameName, isVolume, short, sizeOf } from "./format";
import { sheet } from "./shell";

/** Show a sheet with everything known about an image. */
export function showDetails(image: ImageRecord): void {
  sheet(image.id, verdicts(image), table(facts(image)), bands(image), provenance(image));
}

function facts(image: ImageRecord): [string, Child][] {
  const rows: [string, Child][] = [
    ["Size", `${sizeOf(image)} ${isVolume(image) ? "voxels" : "pixels"}`],
    ["Values", `${image.dtype}, ${image.bands.length} ${image.bands.length === 1 ? "band" : "bands"}${unit(image)}`],
    ["Frame", frameName(image.frame)],
    ["Spacing", spacing(image)],
    ["Levels", String(image.levels.length)],
    ["Missing pixels", image.nodata === null ? "none marked" : `value ${image.nodata}`],
  ];
  if (image.frame.uid) rows.push(["Frame of reference", image.frame.uid]);
  if (image.slices) rows.push(["Slices", "unevenly spaced"]);
  rows.push(["Store", h("code", {}, image.store)]);
  return rows;
}

function unit(image: ImageRecord): string {
  const name = image.value.unit ?? image.bands[0]?.unit;
  return name ? `, in ${name}` : "";
}

/** Length of one step along each axis, x first. */
export function spacing(image: ImageRecord): string {
  const steps = [...image.affine[0]?.keys() ?? []].slice(0, -1).map((k) => Math.hypot(...image.affine.map((row) => row[k] ?? 0)));
  const name = image.frame.type === "patient" ? " mm" : image.frame.type === "geo" ? " CRS units" : " pixels";
  return steps.reverse().map((step) => short(step, 6)).join(" × ") + name;
}

function table(rows: [string, Child][]): HTMLElement {
  return h("dl", { class: "facts" }, ...rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

function verdicts(image: ImageRecord): Child {
  if (!image.verdicts.length) return null;
  return h(
    "ul",
    { class: "verdicts", "aria-label": "What ingest noticed" },
    ...image.verdicts.map((verdict) => h("li", {}, h("strong", {}, verdict.code), " ", verdict.message)),
  );
}

function bands(image: ImageRecord): Child {
  if (image.bands.length < 2) return null;
  const rows = image.bands.map((band, k) =>
    h("tr", {}, h("td", {}, k + 1), h("td", {}, band.name), h("td", {}, band.interpretation), h("td", {}, band.unit ?? "")),
  );
  const head = ["Band", "Name", "Shows", "Unit"].map((name) => h("th", { scope: "col" }, name));
  return h("details", {}, h("summary", {}, "Bands"), h("table", {}, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...rows)));
}

function provenance(image: ImageRecord): Child {
  const rows = Object.entries(image.provenance).filter(([, value]) => typeof value !== "object");
  return h("details", {}, h("summary", {}, "Where it comes from"), table(rows.map(([name, value]) => [name, String(value)])));
}
