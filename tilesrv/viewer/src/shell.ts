/** What every page has: a bar with the way home, the page's own controls, help and light. */

import { button, fill, h, type Child } from "./dom";
import type { Keys } from "./keys";
import { isSignedIn, signOut } from "./session";
import { themeButton } from "./theme";

export interface Page {
  close(): void;
}

/** Build a page into the document: its bar, and its body below. */
export function shell(title: string, options: { home: boolean; keys: Keys; tools?: Child[] }, ...body: Child[]): void {
  document.title = title === "bigimage" ? title : `${title} – bigimage`;
  const heading = options.home
    ? h("h1", { class: "name" }, title)
    : h("h1", { class: "brand" }, h("img", { src: "static/icon.svg", alt: "", width: 22, height: 22 }), title);
  const bar = h(
    "header",
    { class: "bar" },
    options.home && h("a", { class: "tool", href: "#/", title: "All images", "aria-label": "All images" }, homeIcon()),
    heading,
    h("div", { class: "spring" }),
    ...(options.tools ?? []),
    themeButton(),
    isSignedIn() && button({ label: "Sign out", icon: "signout", press: () => void signOut() }),
    button({ label: "Keys", icon: "help", key: "?", press: () => options.keys.help() }),
  );
  const app = document.getElementById("app");
  if (app) fill(app, bar, ...body);
}

function homeIcon(): HTMLElement {
  return h("img", { src: "static/icon.svg", alt: "", width: 20, height: 20 });
}

/** A dialog that asks for nothing but attention, closed by its button or Escape. */
export function sheet(title: string, ...body: Child[]): HTMLDialogElement {
  const dialog = h("dialog", { class: "sheet", "aria-label": title });
  dialog.append(
    h("header", {}, h("h2", {}, title), button({ label: "Close", icon: "close", press: () => dialog.close() })),
    h("div", { class: "sheet-body", tabindex: 0, role: "group", "aria-label": title }, ...body),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
