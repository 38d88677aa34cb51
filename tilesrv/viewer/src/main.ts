/** The viewer's beginning: opens the page that the address names, and another whenever it changes. */

import "./style.css";
import { getJson, imagePath, Problem, words, type ImageRecord } from "./api";
import { h } from "./dom";
import { isVolume } from "./format";
import { Gallery } from "./gallery";
import { Keys } from "./keys";
import { parseHash } from "./router";
import { startSession } from "./session";
import { shell, type Page } from "./shell";
import { applyTheme } from "./theme";

let current: Page | null = null;
let shown = "";
let turn = 0;

const scenePage = () => import("./scene/page");
const volumePage = () => import("./volume/page");

async function open(): Promise<void> {
  const place = parseHash(location.hash);
  const name = place.image ?? "";
  if (current && name === shown) return; // only the state within the page changed
  const mine = ++turn;
  current?.close();
  current = null;
  shown = name;
  if (place.image === null) {
    current = new Gallery();
    return;
  }
  try {
    // code comes while the server is asked; the address tells scans by their window
    void (place.state["range"] ? volumePage() : scenePage()).catch(() => undefined);
    const image = await getJson<ImageRecord>(imagePath(place.image));
    const page = isVolume(image) ? (await volumePage()).VolumePage : (await scenePage()).ScenePage;
    if (mine === turn) current = new page(image, place.state);
  } catch (error) {
    if (mine === turn) current = new Failure(place.image, error);
  }
}

/** The page for an image that cannot be shown. */
class Failure implements Page {
  private readonly keys = new Keys();

  constructor(image: string, error: unknown) {
    const away = error instanceof Problem && error.isAway;
    const again = h("button", { type: "button", class: "primary", on: { click: () => location.reload() } }, "Try again");
    shell(image, { home: true, keys: this.keys }, h(
      "main",
      { class: "failure", role: "alert" },
      h("h2", {}, away ? "The server is away" : "This image cannot be shown"),
      h("p", {}, words(error)),
      h("p", {}, again, " ", h("a", { href: "#/" }, "All images")),
    ));
  }

  close(): void {
    this.keys.close();
  }
}

applyTheme();
matchMedia("(prefers-color-scheme: light)").addEventListener("change", applyTheme);
addEventListener("hashchange", () => void open());
void startSession().catch(() => undefined).then(open);
