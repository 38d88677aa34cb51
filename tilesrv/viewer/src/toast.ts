/** Short notices at the lower edge; read aloud, and shown once however often the same thing happens. */

import { button, h } from "./dom";
import { isAbort, Problem, words } from "./api";

export type Kind = "info" | "good" | "bad";

const SECONDS = { info: 4, good: 3, bad: 12 } as const;
const shown = new Map<string, { element: HTMLElement; timer: number }>();

/** Say something. */
export function tell(text: string, kind: Kind = "info"): void {
  const box = holder();
  const before = shown.get(text);
  if (before) {
    clearTimeout(before.timer);
    before.timer = window.setTimeout(() => drop(text), SECONDS[kind] * 1000);
    return;
  }
  const close = button({ label: "Close notice", icon: "close", class: "tool small", press: () => drop(text) });
  const element = h("div", { class: `toast ${kind}`, role: kind === "bad" ? "alert" : "status" }, h("span", {}, text), close);
  box.append(element);
  shown.set(text, { element, timer: window.setTimeout(() => drop(text), SECONDS[kind] * 1000) });
}

/** Say what went wrong, unless we no longer wanted it, or the server wants to know who asks, which a dialog of its own says. */
export function complain(error: unknown, what = ""): void {
  if (!isAbort(error) && !(error instanceof Problem && error.status === 401)) tell(what ? `${what}: ${words(error)}` : words(error), "bad");
}

function drop(text: string): void {
  shown.get(text)?.element.remove();
  shown.delete(text);
}

function holder(): HTMLElement {
  let box = document.getElementById("toasts");
  if (!box) {
    box = h("div", { id: "toasts", "aria-live": "polite" });
    document.body.append(box);
  }
  return box;
}
