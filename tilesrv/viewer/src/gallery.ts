/** The list of images. */

import { ask, imagePath, type ImageRecord } from "./api";
import { button, fill, h } from "./dom";
import { frameName, isVolume, sizeOf } from "./format";
import { Keys } from "./keys";
import { formatHash } from "./router";
import { shell, type Page } from "./shell";
import { complain } from "./toast";
import { showRunning, uploadAll } from "./upload";
import { showDetails } from "./details";

const PAGE = 60;

/** The page that lists images and takes new ones. */
export class Gallery implements Page {
  private readonly keys = new Keys();
  private readonly cards = h("ul", { class: "cards" });
  private readonly jobs = h("ul", { class: "jobs", "aria-label": "Uploads" });
  private readonly empty = h("p", { class: "empty", hidden: true });
  private readonly more = button({ label: "Show more", class: "plain", press: () => void this.load() });
  private readonly count = h("span", { class: "muted", role: "status" });
  private readonly filter = h("input", { type: "search", placeholder: "Filter by name", "aria-label": "Filter by name" });
  private readonly picker = h("input", { type: "file", multiple: true, hidden: true, "aria-label": "Files to upload" });
  private readonly closed = new AbortController();
  private images: ImageRecord[] = [];
  private total = 0;
  private isSearching = false;
  /** Made once each, so that pictures do not come again with every letter that is typed. */
  private readonly made = new Map<string, HTMLElement>();

  constructor() {
    this.keys.add("Images", ["/"], "Filter by name", () => this.filter.focus());
    this.keys.add("Images", ["u"], "Upload files", () => this.picker.click());
    const add = button({ label: "Upload", icon: "upload", key: "U", text: true, class: "primary", press: () => this.picker.click() });
    const body = h("main", { class: "gallery" }, this.jobs, this.cards, this.empty, this.more);
    shell("bigimage", { home: false, keys: this.keys, tools: [this.count, this.filter, add, this.picker] }, body);
    this.filter.addEventListener("input", () => this.search());
    this.picker.addEventListener("change", () => this.take(this.picker.files));
    this.listenToDrops(body);
    this.more.hidden = true;
    void this.load();
    showRunning(this.jobs, { done: () => void this.reload() }).catch(complain);
  }

  close(): void {
    this.closed.abort();
    this.keys.close();
  }

  private listenToDrops(body: HTMLElement): void {
    body.addEventListener("dragover", (event) => {
      event.preventDefault();
      body.classList.add("dropping");
    });
    body.addEventListener("dragleave", () => body.classList.remove("dropping"));
    body.addEventListener("drop", (event) => {
      event.preventDefault();
      body.classList.remove("dropping");
      this.take(event.dataTransfer?.files ?? null);
    });
  }

  private take(files: FileList | null): void {
    if (files?.length) void uploadAll([...files], this.jobs, { done: () => void this.reload() });
    this.picker.value = "";
  }

  private async reload(): Promise<void> {
    this.images = [];
    this.made.clear();
    await this.load();
  }

  private async load(): Promise<void> {
    try {
      const path = `images?limit=${PAGE}&offset=${this.images.length}`;
      const answer = await ask(path, { signal: this.closed.signal });
      this.images.push(...((await answer.json()) as ImageRecord[]));
      this.total = Number(answer.headers.get("X-Total-Count") ?? this.images.length);
      this.show();
    } catch (error) {
      complain(error, "The images cannot be listed");
      this.empty.hidden = false;
      fill(this.empty, "The images cannot be listed. ", button({ label: "Try again", class: "plain", press: () => void this.load() }));
    }
  }

  /** What is looked for may be on pages that were not asked for yet. */
  private search(): void {
    this.show();
    if (!this.filter.value || this.isSearching || this.images.length >= this.total) return;
    this.isSearching = true;
    const rest = async (): Promise<void> => {
      for (let before = -1; before < this.images.length && this.images.length < this.total;) {
        before = this.images.length;
        await this.load();
      }
    };
    void rest().finally(() => (this.isSearching = false));
  }

  private card(image: ImageRecord): HTMLElement {
    const made = this.made.get(image.id) ?? card(image);
    this.made.set(image.id, made);
    return made;
  }

  private show(): void {
    const wanted = this.filter.value.trim().toLowerCase();
    const found = this.images.filter((image) => image.id.includes(wanted));
    fill(this.cards, ...found.map((image) => this.card(image)));
    this.more.hidden = this.images.length >= this.total || wanted !== "";
    this.count.textContent = wanted ? `${found.length.toLocaleString("en")} of ${many(this.total)}` : this.total ? many(this.total) : "";
    this.empty.hidden = found.length > 0;
    this.empty.textContent = wanted
      ? "No image has such a name."
      : "There is no image yet. Drop a file here: GeoTIFF, JPEG 2000, PNG, NIfTI, NRRD, MHA, DICOM.";
  }
}

function many(count: number): string {
  return `${count.toLocaleString("en")} ${count === 1 ? "image" : "images"}`;
}

function card(image: ImageRecord): HTMLElement {
  const place = formatHash({ image: image.id, state: {} });
  const kind = isVolume(image) ? "volume" : image.role === "labels" ? "labels" : "raster";
  return h(
    "li",
    { class: "card" },
    h("a", { href: place, "aria-label": `${image.id}, ${kind}, ${sizeOf(image)}` }, thumbnail(image), h("strong", {}, image.id)),
    h("small", {}, `${sizeOf(image)} · ${image.dtype}`),
    h("small", { title: frameName(image.frame) }, frameName(image.frame)),
    image.verdicts.length > 0 && h("span", { class: "badge warn", title: image.verdicts.map((v) => v.message).join("\n") }, image.verdicts.length),
    button({ label: `About ${image.id}`, icon: "info", class: "tool small corner", press: () => showDetails(image) }),
  );
}

function thumbnail(image: ImageRecord): HTMLElement {
  const rest = isVolume(image) ? middleSlice(image) : "/preview.png?max_size=320";
  const picture = h("img", { src: imagePath(image.id, rest), alt: "", loading: "lazy", decoding: "async" });
  const box = h("div", { class: "thumb loading" }, picture);
  const end = (): void => box.classList.remove("loading");
  picture.addEventListener("load", end);
  picture.addEventListener("error", end);
  picture.addEventListener("error", () => fill(box, h("span", { class: "muted" }, "no preview")));
  return box;
}

/** The middle of the stored stack, nearest to axial in most scans. */
function middleSlice(image: ImageRecord): string {
  const slices = image.shape[image.axes.indexOf("z")] ?? 1;
  const matrix = image.affine;
  const through = [0, 1, 2].map((k) => Math.abs(matrix[k]?.[0] ?? 0));
  const plane = ["sagittal", "coronal", "axial"][through.indexOf(Math.max(...through))] ?? "axial";
  return `/planes/${plane}/${Math.floor(slices / 2)}.png?max_size=320`;
}
