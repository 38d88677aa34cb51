/** Annotations to files of other tools, and from them; what a format cannot hold is told before anything is written. */

import { ask, getJson, imagePath, words } from "../api";
import { button, fill, h, type Child } from "../dom";
import { sheet } from "../shell";
import { complain, tell } from "../toast";

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

const COUNTS = { added: "added", changed: "changed", unchanged: "unchanged", removed: "removed here before, and left so" };

let formats: Promise<string[]> | null = null;

/** Formats that the server writes, as it describes them itself. */
function knownFormats(): Promise<string[]> {
  type Parameter = { name: string; schema: { enum?: string[] } };
  type Description = { paths: Record<string, { get?: { parameters?: Parameter[] } }> };
  formats ??= getJson<Description>("openapi.json").then(({ paths }) =>
    paths["/images/{id}/export"]?.get?.parameters?.find((one) => one.name === "format")?.schema.enum ?? []);
  return formats;
}

/** The dialog. What is imported appears by itself, as whatever others do. */
export async function showExchange(image: string): Promise<void> {
  try {
    const names = await knownFormats();
    const told = h("div", { class: "report", role: "status" });
    const choice = h("select", { "aria-label": "Format" }, ...names.map((name) => h("option", { value: name }, name)));
    choice.addEventListener("change", () => fill(told));
    const check = button({ label: "What would be lost?", class: "plain", press: () => void showReport(image, choice.value, told) });
    const get = button({ label: "Download", class: "primary", press: () => void download(image, choice.value) });
    const file = h("input", { type: "file", "aria-label": "File of annotations" });
    const outcome = h("div", { class: "report", role: "status" });
    file.addEventListener("change", () => {
      const [chosen] = file.files ?? [];
      if (chosen) void take(image, chosen, outcome);
    });
    sheet("Export and import",
      h("h3", {}, "Export annotations"),
      h("div", { class: "row" }, choice, check, get), told,
      h("h3", {}, "Import annotations"),
      h("p", { class: "muted" }, "All or none: a file with anything wrong in it changes nothing, and every problem is told."),
      file, outcome);
  } catch (error) {
    complain(error, "Formats cannot be listed");
  }
}

async function showReport(image: string, format: string, told: HTMLElement): Promise<void> {
  fill(told, "…");
  try {
    const report = await getJson<Report>(imagePath(image, `/export/report?format=${encodeURIComponent(format)}`));
    const rows = [...report.losses, ...report.notes].map((row) => h("li", {}, sentence(row)));
    fill(told, h("p", {}, `${report.written} written. ${report.lossless ? "Nothing would be lost." : "This format cannot hold everything:"}`), h("ul", {}, ...rows));
  } catch (error) {
    fill(told, h("p", { class: "problem" }, words(error)));
  }
}

/** A row of a report in words: what it is about, what becomes of it, how often. */
function sentence(row: unknown): Child {
  if (typeof row !== "object" || row === null) return String(row);
  const { kind, what, message, count } = row as Loss;
  const head = [what, kind && `(${kind})`].filter(Boolean).join(" ");
  return `${head ? `${head}: ` : ""}${message ?? ""}${count === undefined ? "" : `, ${count} times`}`.replace(", 1 times", ", once");
}

async function download(image: string, format: string): Promise<void> {
  try {
    const answer = await ask(imagePath(image, `/export?format=${encodeURIComponent(format)}`));
    const name = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition") ?? "")?.[1] ?? `${image}.${format}`;
    const link = h("a", { href: URL.createObjectURL(await answer.blob()), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  } catch (error) {
    complain(error, "Not exported");
  }
}

async function take(image: string, file: File, outcome: HTMLElement): Promise<void> {
  fill(outcome, "…");
  try {
    const path = imagePath(image, `/import?filename=${encodeURIComponent(file.name)}`);
    const answer = await ask(path, { method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" } });
    const counts = (await answer.json()) as Record<string, unknown>;
    const told = Object.entries(COUNTS).filter(([name]) => counts[name]).map(([name, text]) => `${String(counts[name])} ${text}`);
    fill(outcome, h("p", {}, told.join(", ") || "Nothing changed."));
    tell(`${file.name} was imported.`, "good");
  } catch (error) {
    fill(outcome, h("p", { class: "problem" }, words(error)));
  }
}
