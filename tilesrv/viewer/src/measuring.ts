/** What measuring looks like in every view: the choice of what is measured, and the result. */

import { fill, h } from "./dom";

export const KINDS = ["line", "area", "ellipse"] as const;
export type MeasureKind = (typeof KINDS)[number];
const NAMES: Record<MeasureKind, string> = { line: "Line and angle", area: "Area", ellipse: "Ellipse" };

/** The bar at the upper edge of a view while something is measured. */
export class MeasureBar {
  kind: MeasureKind = "line";
  private readonly text = h("div", { class: "ruler", role: "status", hidden: true });
  private readonly choice = h("div", { class: "segments", role: "group", "aria-label": "What is measured" });
  readonly element = h("div", { class: "measuring", hidden: true }, this.choice, this.text);

  /** `picked` is told when something else is to be measured. */
  constructor(private readonly picked: () => void) {
    this.offer();
  }

  /** Show the result; empty hides it. */
  say(text: string): void {
    this.text.hidden = !text;
    this.text.textContent = text;
  }

  private offer(): void {
    fill(this.choice, ...KINDS.map((kind) => h("button", {
      type: "button", "aria-pressed": kind === this.kind,
      on: {
        click: () => {
          this.kind = kind;
          this.offer();
          this.picked();
        },
      },
    }, NAMES[kind])));
  }
}
