/** Two people changed the same annotation: both versions are shown, and the user chooses. */

import { h, s } from "../dom";
import { kindOf, type Feature, type Position } from "./model";
import { outlines } from "./shapes";

export type Choice = "mine" | "theirs" | "both";

/** Ask which version counts. Closing the dialog keeps what is stored; null where the page is left undecided. */
export function resolveConflict(mine: Feature | null, theirs: Feature | null, left: AbortSignal): Promise<Choice | null> {
  return new Promise((resolve) => {
    if (left.aborted) return resolve(null);
    const dialog = h("dialog", { class: "sheet wide", "aria-label": "Conflict" });
    const pick = (choice: Choice | null): void => {
      left.removeEventListener("abort", leave);
      dialog.close();
      dialog.remove();
      resolve(choice);
    };
    const leave = (): void => pick(null);
    left.addEventListener("abort", leave);
    const choose = (text: string, choice: Choice, kind = "plain"): HTMLElement =>
      h("button", { type: "button", class: kind, on: { click: () => pick(choice) } }, text);
    const who = theirs?.properties.editor ?? theirs?.properties.author ?? "Somebody";
    dialog.append(
      h("header", {}, h("h2", {}, "This was changed by somebody else")),
      h("div", { class: "sheet-body" },
        h("p", {}, `${who} ${theirs ? "changed" : "removed"} this annotation while you did. Nothing is lost: choose what counts. The history keeps both.`),
        h("div", { class: "versions" }, version("Yours", mine, [mine, theirs]), version("Theirs", theirs, [mine, theirs])),
        h("div", { class: "row end" },
          mine && theirs && choose("Keep both", "both"), choose("Take theirs", "theirs"), choose("Keep mine", "mine", "primary"))),
    );
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      pick("theirs");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

function version(title: string, feature: Feature | null, both: (Feature | null)[]): HTMLElement {
  if (!feature) return h("section", {}, h("h3", {}, title), h("p", { class: "muted" }, "Removed"));
  const { label, attributes, modified } = feature.properties;
  return h("section", {}, h("h3", {}, title), drawing(feature, both),
    h("dl", { class: "facts" },
      h("dt", {}, "Label"), h("dd", {}, label),
      h("dt", {}, "Shape"), h("dd", {}, kindOf(feature)),
      ...Object.entries(attributes ?? {}).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, JSON.stringify(value))]),
      ...(modified ? [h("dt", {}, "Changed"), h("dd", {}, new Date(modified).toLocaleString())] : [])));
}

function drawing(feature: Feature, both: (Feature | null)[]): SVGElement {
  const all = both.flatMap((one) => (one ? outlines(one).flat() : []));
  const xs = all.map((p) => p[0] ?? 0);
  const ys = all.map((p) => -(p[1] ?? 0));
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  const size = Math.max(Math.max(...xs) - left, Math.max(...ys) - top) || 1;
  const place = (p: Position): string => `${(((p[0] ?? 0) - left) / size) * 100 + 10} ${((-(p[1] ?? 0) - top) / size) * 100 + 10}`;
  const paths = outlines(feature).map((line) => s("path", { d: `M${line.map(place).join("L")}` }));
  return s("svg", { viewBox: "0 0 120 120", class: "drawing", role: "img", "aria-label": "Outline" }, ...paths);
}
