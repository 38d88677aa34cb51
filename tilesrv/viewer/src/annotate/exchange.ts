/** Annotations to files of other tools, and from them; what a format cannot hold is told before anything is written. */

import { ask, getJson, imagePath, words } from "../api";
import { button, fill, h, type Child } from "../dom";
import { sheet } from "../shell";
import { complain, tell } from "../toast";
import type { MaskLayerDocument } from "./layers";

interface Loss {
  kind?: string;
  what?: string;
  message?: string;
  count?: number;
}

interface Report {
  written: number;
  lossless: boolean;
  losses: Loss[];
  notes: unknown[];
}

/** Formats as people know them; others are shown by their own names. */
const NAMES: Readonly<Record<string, string>> = {
  geojson: "GeoJSON", geojsonseq: "GeoJSON, line by line", geoparquet: "GeoParquet", flatgeobuf: "FlatGeobuf", geopackage: "GeoPackage",
  stac: "STAC", coco: "COCO", "coco-panoptic": "COCO panoptic", voc: "Pascal VOC", cvat: "CVAT", labelstudio: "Label Studio",
  datumaro: "Datumaro", labelme: "LabelMe", yolo: "YOLO boxes", "yolo-seg": "YOLO outlines", "yolo-obb": "YOLO turned boxes",
  rtstruct: "DICOM RT structure set", "dicom-sr": "DICOM SR", "dicom-seg": "DICOM SEG, bits", "dicom-seg-labelmap": "DICOM SEG, label map",
  "dicom-seg-fractional": "DICOM SEG, fractions", "seg-nrrd": "Slicer seg.nrrd", nifti: "NIfTI", mha: "MHA", geotiff: "GeoTIFF", png: "PNG",
};

const COUNTS = { added: "added", changed: "changed", unchanged: "unchanged", removed: "removed here before, and left so" };

/** Formats that fit an image. */
interface Formats {
  annotations: string[];
  masks: string[];
}

/** What is exported: annotations where no layer is named. */
interface Wanted {
  format: string;
  layer: string;
}

/** The dialog. What is imported appears by itself, as whatever others do. */
export async function showExchange(image: string): Promise<void> {
  try {
    const [formats, layers] = await Promise.all([
      getJson<Formats>(imagePath(image, "/formats")),
      getJson<{ masks: MaskLayerDocument[] }>(imagePath(image, "/masks")),
    ]);
    sheet("Export and import", ...exporting(image, formats, layers.masks), ...importing(image));
  } catch (error) {
    complain(error, "Formats cannot be listed");
  }
}

function exporting(image: string, formats: Formats, layers: MaskLayerDocument[]): Child[] {
  const what = h("select", { "aria-label": "What to export" },
    h("option", { value: "" }, "Annotations"), ...layers.map(({ name }) => h("option", { value: name }, `Mask layer ${name}`)));
  const format = h("select", { "aria-label": "Format" });
  const told = h("div", { class: "report", role: "status" });
  const offer = (): void => {
    const names = what.value ? formats.masks : formats.annotations;
    fill(format, ...names.map((name) => h("option", { value: name }, NAMES[name] ?? name)));
    fill(told);
  };
  offer();
  what.addEventListener("change", offer);
  format.addEventListener("change", () => fill(told));
  const wanted = (): Wanted => ({ format: format.value, layer: what.value });
  const check = button({ label: "What would be lost?", class: "plain", press: () => void showReport(image, wanted(), told) });
  const get = button({ label: "Download", class: "primary", press: () => void download(image, wanted()) });
  return [h("h3", {}, "Export"), h("div", { class: "row" }, what, format, check, get), told];
}

function importing(image: string): Child[] {
  const file = h("input", { type: "file", "aria-label": "File of annotations" });
  const label = h("input", { type: "text", maxLength: 200, "aria-label": "Label for what has none", placeholder: "label for what has none" });
  const repair = h("input", { type: "checkbox" });
  const extend = h("input", { type: "checkbox" });
  const outcome = h("div", { class: "report", role: "status" });
  const start = (): void => {
    const [chosen] = file.files ?? [];
    if (!chosen) return;
    const given = { filename: chosen.name, label: label.value.trim(), repair: repair.checked, "extend-schema": extend.checked };
    void take(image, chosen, query(given), outcome);
  };
  file.addEventListener("change", start);
  return [
    h("h3", {}, "Import annotations or masks"),
    h("p", { class: "muted" }, "All or none: a file with anything wrong in it changes nothing, and every problem is told."),
    h("div", { class: "row" }, file, label, button({ label: "Import", class: "plain", press: start })),
    h("label", { class: "row" }, extend, "Add labels and attributes that are new to the schema"),
    h("label", { class: "row" }, repair, "Mend areas that cross themselves, leave out those without area"),
    outcome,
  ];
}

/** A query of what is set. Pure. */
export function query(members: Record<string, string | boolean>): string {
  const set = Object.entries(members).filter(([, value]) => value);
  return set.map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`).join("&");
}

async function showReport(image: string, wanted: Wanted, told: HTMLElement): Promise<void> {
  fill(told, "…");
  try {
    const report = await getJson<Report>(imagePath(image, `/export/report?${query({ ...wanted })}`));
    fill(told, h("p", {}, `${report.written} written. ${report.lossless ? "Nothing would be lost." : "This format cannot hold everything:"}`), lossList(report));
  } catch (error) {
    fill(told, h("p", { class: "problem" }, words(error)));
  }
}

function lossList({ losses, notes }: Report): HTMLElement {
  return h("ul", {}, ...[...losses, ...notes].map((row) => h("li", {}, sentence(row))));
}

/** A row of a report in words: what it is about, what becomes of it, how often. */
function sentence(row: unknown): Child {
  if (typeof row !== "object" || row === null) return String(row);
  const { kind, what, message, count } = row as Loss;
  const head = [what, kind && `(${kind})`].filter(Boolean).join(" ");
  return `${head ? `${head}: ` : ""}${message ?? ""}${count === undefined ? "" : `, ${count} times`}`.replace(", 1 times", ", once");
}

async function download(image: string, wanted: Wanted): Promise<void> {
  try {
    const answer = await ask(imagePath(image, `/export?${query({ ...wanted })}`));
    const name = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition") ?? "")?.[1] ?? `${image}.${wanted.format}`;
    const link = h("a", { href: URL.createObjectURL(await answer.blob()), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  } catch (error) {
    complain(error, "Not exported");
  }
}

async function take(image: string, file: File, how: string, outcome: HTMLElement): Promise<void> {
  fill(outcome, "…");
  try {
    const answer = await ask(imagePath(image, `/import?${how}`), { method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" } });
    const counts = (await answer.json()) as Record<string, unknown> & { report: Report };
    const told = Object.entries(COUNTS).filter(([name]) => counts[name]).map(([name, text]) => `${String(counts[name])} ${text}`);
    fill(outcome, h("p", {}, told.join(", ") || "Nothing changed."), lossList(counts.report));
    tell(`${file.name} was imported.`, "good");
  } catch (error) {
    fill(outcome, h("p", { class: "problem" }, words(error)));
  }
}
