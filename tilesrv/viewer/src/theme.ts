/** Light and dark: the system's choice unless the user made one. */

import { button, fill, icon } from "./dom";

const KEY = "bigimage.theme";
type Theme = "light" | "dark";

function system(): Theme {
  return matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
}

function chosen(): Theme {
  const stored = localStorage.getItem(KEY);
  return stored === "light" || stored === "dark" ? stored : system();
}

/** Colour the page. */
export function applyTheme(): void {
  document.documentElement.dataset["theme"] = chosen();
}

/** A button that turns the light on and off. */
export function themeButton(): HTMLButtonElement {
  const made = button({ label: "Light or dark", icon: "sun", press: () => turn(made) });
  show(made);
  return made;
}

function turn(made: HTMLButtonElement): void {
  const next = chosen() === "dark" ? "light" : "dark";
  if (next === system()) localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, next);
  applyTheme();
  show(made);
}

function show(made: HTMLButtonElement): void {
  fill(made, icon(chosen() === "dark" ? "sun" : "moon"));
}
