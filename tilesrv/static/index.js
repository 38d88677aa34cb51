// The plain pages: images with thumbnails, and a slippy map of one image's own tiles. No libraries.

const TILE = 256;
const $ = (id) => document.getElementById(id);

async function getJson(url) {
  const answer = await fetch(url);
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.detail ?? answer.statusText);
  return body;
}

function element(name, attributes = {}, ...children) {
  const made = Object.assign(document.createElement(name), attributes);
  made.append(...children);
  return made;
}

// A CRS is told by its code, or by the name at the head of its WKT.
function describe(image) {
  const crs = image.frame.crs ?? "";
  const frame = image.frame.type === "geo" ? (crs.match(/^\w+\["([^"]*)"/)?.[1] ?? crs) : image.frame.type;
  return `${image.shape.join(" × ")} ${image.dtype}, ${frame}`;
}

async function showList() {
  const images = await getJson("/images?limit=1000");
  $("empty").hidden = images.length > 0;
  for (const image of images) {
    const id = encodeURIComponent(image.id);
    const text = element("div", {}, element("strong", { textContent: image.id }));
    text.append(element("small", { textContent: describe(image) }));
    if (image.axes.includes("z")) {
      // these pages show rasters; a volume's planes want the viewer
      $("images").append(element("li", {}, element("a", { href: `/images/${id}` }, text)));
      continue;
    }
    const thumb = element("img", { src: `/images/${id}/preview.png?max_size=300`, alt: "", loading: "lazy" });
    $("images").append(element("li", {}, element("a", { href: `/?image=${id}` }, thumb, text)));
  }
}

// The view: centre in pixels of the finest level, and screen pixels per such pixel.
class SlippyMap {
  constructor(box, image, tileset) {
    this.box = box;
    this.image = image;
    this.tiles = new Map();
    this.levels = tileset.levels;
    this.matrices = tileset.tileMatrixSet.tileMatrices;
    const finest = this.levels.at(-1);
    [this.height, this.width] = finest.shape;
    this.affine = finest.affine;
    this.centre = [this.width / 2, this.height / 2];
    this.scale = Math.min(box.clientWidth / this.width, box.clientHeight / this.height) * 0.95;
    this.least = this.scale / 2;
    this.listen();
    this.draw();
  }

  toImage(event) {
    const place = this.box.getBoundingClientRect();
    return [
      this.centre[0] + (event.clientX - place.left - this.box.clientWidth / 2) / this.scale,
      this.centre[1] + (event.clientY - place.top - this.box.clientHeight / 2) / this.scale,
    ];
  }

  toWorld([column, row]) {
    return this.affine.map(([perRow, perColumn, origin]) => perRow * row + perColumn * column + origin);
  }

  listen() {
    const pointers = new Map();
    this.box.addEventListener("pointerdown", (event) => {
      this.box.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, event);
    });
    for (const name of ["pointerup", "pointercancel"]) {
      this.box.addEventListener(name, (event) => pointers.delete(event.pointerId));
    }
    this.box.addEventListener("pointermove", (event) => {
      const before = pointers.get(event.pointerId);
      if (before) {
        this.centre[0] -= (event.clientX - before.clientX) / this.scale / pointers.size;
        this.centre[1] -= (event.clientY - before.clientY) / this.scale / pointers.size;
        pointers.set(event.pointerId, event);
        this.draw();
      }
      this.tell(this.toImage(event));
    });
    this.box.addEventListener("wheel", (event) => {
      event.preventDefault();
      const at = this.toImage(event);
      const scale = Math.min(32, Math.max(this.least, this.scale * 2 ** (-event.deltaY / 400)));
      const keep = this.scale / scale;
      this.centre = this.centre.map((c, axis) => at[axis] + (c - at[axis]) * keep);
      this.scale = scale;
      this.draw();
    }, { passive: false });
    this.box.addEventListener("dblclick", (event) => this.readValue(this.toImage(event)));
    new ResizeObserver(() => this.draw()).observe(this.box);
  }

  zoom() {
    const wanted = this.levels.findIndex((level) => (level.shape[1] / this.width) * 1.01 >= this.scale * devicePixelRatio);
    return wanted < 0 ? this.levels.length - 1 : wanted;
  }

  draw() {
    const wanted = this.zoom();
    const seen = new Set();
    // the coarsest zoom stays below, so that there is always something to see
    for (const zoom of new Set([0, wanted])) this.place(zoom, seen);
    for (const [key, img] of this.tiles) {
      if (!seen.has(key)) {
        img.remove();
        this.tiles.delete(key);
      }
    }
  }

  place(zoom, seen) {
    const { matrixWidth, matrixHeight } = this.matrices[zoom];
    const factor = 2 ** (this.levels.length - 1 - zoom);
    const side = TILE * factor * this.scale;
    const left = this.box.clientWidth / 2 - this.centre[0] * this.scale;
    const top = this.box.clientHeight / 2 - this.centre[1] * this.scale;
    const first = (offset) => Math.max(0, Math.floor(-offset / side));
    const last = (offset, room, count) => Math.min(count - 1, Math.floor((room - offset) / side));
    for (let y = first(top); y <= last(top, this.box.clientHeight, matrixHeight); y++) {
      for (let x = first(left); x <= last(left, this.box.clientWidth, matrixWidth); x++) {
        const key = `${zoom}/${x}/${y}`;
        seen.add(key);
        this.show(key, left + x * side, top + y * side, side, zoom);
      }
    }
  }

  show(key, left, top, side, zoom) {
    let img = this.tiles.get(key);
    if (!img) {
      img = element("img", { alt: "", draggable: false, src: `/images/${this.image.id}/tiles/native/${key}.png` });
      img.style.zIndex = zoom;
      this.tiles.set(key, img);
      this.box.append(img);
    }
    // whole screen pixels, or hairlines show between tiles
    const x = Math.round(left);
    const y = Math.round(top);
    Object.assign(img.style, {
      left: `${x}px`,
      top: `${y}px`,
      width: `${Math.round(left + side) - x}px`,
      height: `${Math.round(top + side) - y}px`,
    });
  }

  inside([column, row]) {
    return column >= 0 && row >= 0 && column < this.width && row < this.height;
  }

  tell(at) {
    const [x, y] = this.toWorld(at);
    const digits = this.image.frame.crs === "EPSG:4326" ? 6 : 2;
    $("place").textContent = this.inside(at)
      ? `column ${Math.floor(at[0])}  row ${Math.floor(at[1])}\nx ${x.toFixed(digits)}  y ${y.toFixed(digits)}\ndouble-click for values`
      : "";
  }

  async readValue(at) {
    if (!this.inside(at)) return;
    const found = await getJson(`/images/${this.image.id}/point?coord=${this.toWorld(at).join(",")}`);
    $("place").textContent = found.bands
      .slice(0, 12)
      .map((band, position) => `${band.name}: ${found.valid ? found.physical[position] : "missing"} ${band.unit ?? ""}`)
      .join("\n");
  }
}

async function showImage(id) {
  const name = encodeURIComponent(id);
  const [image, tileset] = await Promise.all([getJson(`/images/${name}`), getJson(`/images/${name}/tiles/native`)]);
  document.title = `${id} · bigimage`;
  $("title").textContent = `${id} · ${describe(image)}`;
  document.querySelector("main").hidden = true;
  $("map").hidden = $("place").hidden = false;
  new SlippyMap($("map"), image, tileset);
}

const chosen = new URLSearchParams(location.search).get("image");
(chosen ? showImage(chosen) : showList()).catch((error) => {
  $("empty").hidden = false;
  $("empty").textContent = error.message;
});
