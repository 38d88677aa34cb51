/** Keys and what they do; the help sheet is made of the same list. */

import { button, h } from "./dom";

export interface Binding {
  /** `a`, `Shift+A`, `Ctrl+z`, `ArrowLeft`, `1`; Ctrl also means the Mac's command key. */
  keys: string[];
  about: string;
  group: string;
  press: (event: KeyboardEvent) => void;
}

/** Name of a key as bindings write it. */
export function keyName(event: Pick<KeyboardEvent, "key" | "ctrlKey" | "metaKey" | "shiftKey" | "altKey">): string {
  const letter = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const shift = event.shiftKey && (event.key.length > 1 || letter !== letter.toUpperCase()) ? "Shift+" : "";
  return `${event.ctrlKey || event.metaKey ? "Ctrl+" : ""}${event.altKey ? "Alt+" : ""}${shift}${letter}`;
}

/** Keys of one view; they do nothing while text is being written or a dialog is open. */
export class Keys {
  private readonly bindings: Binding[] = [];
  private readonly listener = (event: KeyboardEvent): void => this.press(event);

  constructor() {
    addEventListener("keydown", this.listener);
    this.add("General", ["?"], "This help", () => this.help());
  }

  add(group: string, keys: string[], about: string, press: (event: KeyboardEvent) => void): void {
    this.bindings.push({ group, keys, about, press });
  }

  close(): void {
    removeEventListener("keydown", this.listener);
  }

  private press(event: KeyboardEvent): void {
    const at = event.target as HTMLElement | null;
    if (document.querySelector("dialog[open]") || at?.closest("input:not([type=range]):not([type=checkbox]), select, textarea")) return;
    const name = keyName(event);
    const found = this.bindings.find((binding) => binding.keys.some((key) => key.toLowerCase() === name.toLowerCase()));
    if (!found) return;
    if (at?.closest("button, [role=slider], input") && /^(Enter| |Arrow|Home|End)/.test(event.key)) return;
    event.preventDefault();
    found.press(event);
  }

  /** The help sheet. */
  help(): void {
    const groups = [...new Set(this.bindings.map((binding) => binding.group))];
    const dialog = h("dialog", { class: "sheet wide", "aria-label": "Keys" });
    dialog.append(
      h("header", {}, h("h2", {}, "Keys"), button({ label: "Close", icon: "close", press: () => dialog.close() })),
      h("div", { class: "keys", tabindex: 0, role: "group", "aria-label": "All keys" }, ...groups.map((group) => this.section(group))),
    );
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  }

  private section(group: string): HTMLElement {
    const rows = this.bindings.filter((binding) => binding.group === group);
    return h(
      "section",
      {},
      h("h3", {}, group),
      h("dl", {}, ...rows.flatMap((row) => [
        h("dt", {}, ...row.keys.flatMap((key, k) => [k > 0 && " ", h("kbd", {}, shown(key))])),
        h("dd", {}, row.about),
      ])),
    );
  }
}

const SHOWN: Record<string, string> = {
  ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", " ": "Space", Delete: "Del", Escape: "Esc",
};

function shown(key: string): string {
  return key.split("+").map((part) => SHOWN[part] ?? (part.length === 1 ? part.toUpperCase() : part)).join("+") || "+";
}
