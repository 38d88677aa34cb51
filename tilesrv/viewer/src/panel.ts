/** The column of foldable sections beside a view. */

import { h, type Child } from "./dom";

/** A foldable section; whether it is open is remembered by its title. */
export function section(title: string, body: HTMLElement, open = true, ...extras: Child[]): HTMLDetailsElement {
  const key = `bigimage.section.${title}`;
  const remembered = localStorage.getItem(key);
  const made = h("details", { class: "section", open: remembered === null ? open : remembered === "1" },
    h("summary", {}, h("span", {}, title), ...extras), body);
  made.addEventListener("toggle", () => localStorage.setItem(key, made.open ? "1" : "0"));
  return made;
}

/** The column itself. */
export function panel(...sections: Child[]): HTMLElement {
  return h("aside", { class: "panel", "aria-label": "Controls" }, ...sections);
}
