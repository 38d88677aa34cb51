"""The viewer in headless Chromium: first tiles of a large scene, pans and zooms, slices of a scan, many polygons.

The scene has 20480 × 20480 pixels in three bands, the scan 512 × 512 × 600 voxels; on another scene of this size lie
100,000 polygons. Chromium draws in software, so that frames cost the processor what elsewhere a graphics card does: by
default straight to memory, with `--gl` through SwiftShader's OpenGL, which is several times slower. Pans are made of
pointer events, one in each frame; a frame is blank where the canvas has nothing to show inside the image.

    python benchmarks/viewer.py                      # makes what it shows, in a folder that is deleted afterwards
    python benchmarks/viewer.py --data /some/folder  # keeps it for the next time
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import shapely

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import bigimage as bi
from benchmarks.harness import machine
from bigimage.geometry.grid import Grid
from bigimage.model.annotation import Annotation
from bigimage.model.labels import Label, Schema
from bigimage.model.shape import Polygon
from fixtures.make import scene
from tests.browser.conftest import FLAGS, server

SIDE = 20480
SLICES = 600
POLYGONS = 100_000
WINDOW = {"width": 1280, "height": 800}
PLAIN = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
]
LABELS = ("building", "field", "road", "tree", "water")
RECORDER = """
window.record = (seconds, each) => new Promise((done) => {
  const canvas = document.querySelector(".map canvas");
  const small = new OffscreenCanvas(64, 40);
  const context = small.getContext("2d", { willReadFrequently: true });
  const [start, frames, blanks] = [performance.now(), [], []];
  const step = (now) => {
    frames.push(now);
    if (canvas) {
      context.clearRect(0, 0, 64, 40);
      context.drawImage(document.querySelector(".map canvas"), 0, 0, 64, 40);
      const { data } = context.getImageData(0, 0, 64, 40);
      let blank = 0;
      for (let k = 3; k < data.length; k += 4) if (data[k] < 128) blank++;
      blanks.push(blank / (64 * 40));
    }
    each?.(now - start);
    if (now - start < seconds * 1000) requestAnimationFrame(step);
    else done({ frames, blanks });
  };
  requestAnimationFrame(step);
});
window.drag = (seconds, speed) => {
  const viewport = document.querySelector(".ol-viewport");
  const box = viewport.getBoundingClientRect();
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  const send = (target, type, dx, dy) => target.dispatchEvent(new PointerEvent(type, {
    pointerId: 1, isPrimary: true, bubbles: true, cancelable: true, button: type === "pointermove" ? -1 : 0,
    buttons: type === "pointerup" ? 0 : 1, clientX: x + dx, clientY: y + dy, pointerType: "mouse",
  }));
  // it ends where it began, at rest, so that no pan goes on beyond the image's edge, which would count as blank
  const turns = Math.max(1, Math.round((seconds * speed) / (2 * Math.PI)));
  const way = (t) => {
    const angle = 2 * Math.PI * turns * Math.min(1, t / Math.max(0.1, seconds - 0.3));
    return [300 * Math.sin(angle), 200 * Math.sin(2 * angle)];
  };
  send(viewport, "pointerdown", 0, 0);
  return window.record(seconds, (t) => send(document, "pointermove", ...way(t / 1000)))
    .then((found) => { send(document, "pointerup", ...way(seconds)); return found; });
};
"""


def make(folder: Path) -> None:
    """A workspace with all that is shown."""
    ws = bi.open_workspace(folder / "ws")
    made = {path.name for path in (folder / "ws" / "images").glob("*")} if (folder / "ws").exists() else set()
    if "scene" not in made:
        ws.ingest(scene(folder / "scene.tif", size=(SIDE, SIDE), bands=3, seed=2))
    if "scan" not in made:
        ws.ingest(write_scan(folder / "scan.nii"))
    if "shapes" not in made:
        ws.ingest(folder / "scene.tif", name="shapes")
    if ws.annotations.revision("shapes") is None:
        colours = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4")
        ws.annotations.set_schema(
            Schema(labels=tuple(Label(name=n, value=k + 1, color=colours[k]) for k, n in enumerate(LABELS))),
            author="bench",
        )
        ws.annotations.load("shapes", polygons(ws.image("shapes").info.grid), author="bench")
    ws.close()


def write_scan(path: Path) -> Path:
    """A volume like a CT in values and texture."""
    import nibabel

    rng = np.random.default_rng(5)
    coarse = np.kron(rng.normal(0, 300, (32, 32, 38)), np.ones((16, 16, 16)))[..., :SLICES]
    noise = rng.normal(0, 30, (512, 512, 1))
    nibabel.save(nibabel.Nifti1Image((coarse + noise).astype(np.int16), np.diag([-0.7, -0.7, 1.0, 1.0])), path)
    return path


def polygons(grid: Grid) -> Iterator[Annotation]:
    """Polygons of 8 to 14 vertices and some 50 pixels across, anywhere on the scene."""
    rng = np.random.default_rng(1)
    for k in range(POLYGONS):
        n = int(rng.integers(8, 15))
        angles = (np.arange(n) + rng.uniform(0, 0.8, n)) * 2 * np.pi / n
        ring = np.column_stack([np.cos(angles), np.sin(angles)]) * rng.uniform(12, 28, (n, 1))
        shape = Polygon(shapely.Polygon(grid.to_world(rng.uniform(50, SIDE - 50, 2) + ring)))
        yield Annotation(id=UUID(int=k + 1), image="shapes", label=LABELS[k % 5], shape=shape, frame=grid.frame)


@contextmanager
def page_of(browser: Any) -> Iterator[Any]:
    """A page that has nothing in its cache."""
    context = browser.new_context(viewport=WINDOW)
    context.add_init_script(RECORDER)
    try:
        yield context.new_page()
    finally:
        context.close()


def settled(page: Any) -> None:
    """Wait until nothing was asked for during half a second."""
    page.wait_for_selector(".saved:has-text('Saved')")
    page.wait_for_function(
        """() => {
          const last = Math.max(0, ...performance.getEntriesByType("resource").map((one) => one.responseEnd));
          return performance.now() - last > 500;
        }""",
        timeout=120_000,
    )


FIRST = """
() => {
  const canvas = document.querySelector(".map canvas");
  if (!canvas || !canvas.width) return null;
  const small = new OffscreenCanvas(32, 20);
  const context = small.getContext("2d", { willReadFrequently: true });
  context.drawImage(canvas, 0, 0, 32, 20);
  const { data } = context.getImageData(0, 0, 32, 20);
  const side = Math.floor(32 * Math.min(1, canvas.height / canvas.width));
  let shown = 0;
  for (let k = 3; k < data.length; k += 4) if (data[k] > 250) shown++;
  // the whole scene is a square as high as the map
  return shown / 640 > (side / 32) * 0.8 ? performance.now() : null;
}
"""


def first_tiles(browser: Any, address: str, repeats: int) -> list[float]:
    """Seconds from opening a scene's address to its picture on screen, without anything in the browser's cache."""
    found: list[float] = []
    for _ in range(repeats):
        with page_of(browser) as page:
            page.goto(f"{address}/#/images/scene", wait_until="commit")
            found.append(page.wait_for_function(FIRST, polling="raf", timeout=60_000).json_value() / 1000)
    return found


def pans(browser: Any, address: str, image: str, resolution: float, seconds: float) -> dict[str, float]:
    """Frames of a pan within an image, and how many of them had blank parts."""
    with page_of(browser) as page:
        page.goto(f"{address}/#/images/{image}?at={SIDE / 2},{SIDE / 2},{resolution}")
        page.wait_for_selector(".map canvas")
        settled(page)
        first = page.evaluate(f"() => drag({seconds}, 2)")
        again = page.evaluate(f"() => drag({seconds}, 2)")
        return {**frames(first, ""), **frames(again, " again")}


def frames(found: dict[str, list[float]], suffix: str) -> dict[str, float]:
    """Frames for each second, the longest wait, and the share of frames with more than 2 % blank."""
    gaps = np.diff(found["frames"])
    blank = np.asarray(found["blanks"])
    return {
        f"frames/s{suffix}": 1000 / float(gaps.mean()),
        f"longest ms{suffix}": float(gaps.max()),
        f"blank frames %{suffix}": 100 * float((blank > 0.02).mean()),
        f"worst blank %{suffix}": 100 * float(blank.max()),
    }


ZOOM = """
() => {
  const viewport = document.querySelector(".ol-viewport");
  const box = viewport.getBoundingClientRect();
  let sent = 0;
  return record(4, (t) => {
    if (t < sent * 250 || sent >= 12) return;
    const deltaY = sent++ < 6 ? -240 : 240;
    viewport.dispatchEvent(new WheelEvent("wheel", {
      deltaY, bubbles: true, cancelable: true, clientX: box.x + box.width / 2, clientY: box.y + box.height / 2,
    }));
  });
}
"""


def zooms(browser: Any, address: str) -> dict[str, float]:
    """Frames of zooming in and out by the wheel."""
    with page_of(browser) as page:
        page.goto(f"{address}/#/images/scene?at={SIDE / 2},{SIDE / 2},8")
        page.wait_for_selector(".map canvas")
        settled(page)
        return frames(page.evaluate(ZOOM), "")


SCROLL = """
async ([plane, count]) => {
  const view = document.querySelector(`[data-plane=${plane}]`);
  const start = performance.now();
  const first = Number(view.dataset.shown);
  for (let k = 1; k <= count; k++) {
    document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowUp", bubbles: true }));
    while (Number(view.dataset.shown) !== first + k) await new Promise((next) => setTimeout(next, 0));
    await new Promise(requestAnimationFrame); // it is drawn, too
  }
  return (performance.now() - start) / 1000;
}
"""


def scrolls(browser: Any, address: str, plane: str, count: int) -> float:
    """Slices for each second, each waited for until it is drawn."""
    with page_of(browser) as page:
        page.goto(f"{address}/#/images/scan?at=0,0,{SLICES / 4}")
        page.wait_for_selector(f"[data-plane={plane}][data-shown]")
        page.keyboard.press({"axial": "a", "coronal": "c", "sagittal": "s"}[plane])
        settled(page)
        return count / page.evaluate(SCROLL, [plane, count])


def report(name: str, values: dict[str, float]) -> None:
    """A row of results."""
    print(f"{name}: " + ", ".join(f"{key} {value:.1f}" for key, value in values.items()), flush=True)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description="How fast the viewer is.")
    parser.add_argument("--data", type=Path, help="folder in which the images are kept")
    parser.add_argument("--gl", action="store_true", help="draw through SwiftShader's OpenGL")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each pan")
    parser.add_argument("--only", choices=("first", "pan", "zoom", "scroll", "polygons"), nargs="*")
    asked = parser.parse_args()
    from playwright.sync_api import sync_playwright

    wanted = asked.only or ("first", "pan", "zoom", "scroll", "polygons")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.data or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        make(folder)
        print(machine())
        with server(folder / "ws") as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS if asked.gl else PLAIN)
            time.sleep(2)  # the server loads its kernels
            if "first" in wanted:
                found = first_tiles(browser, address, asked.repeats)
                report("first tiles", {"s": statistics.median(found), "least": min(found), "most": max(found)})
            if "pan" in wanted:
                for resolution in (1, 4):
                    report(f"pan at {resolution}:1", pans(browser, address, "scene", resolution, asked.seconds))
            if "zoom" in wanted:
                report("zoom", zooms(browser, address))
            if "scroll" in wanted:
                for plane in ("axial", "coronal", "sagittal"):
                    report(f"scroll {plane}", {"slices/s": scrolls(browser, address, plane, 120)})
            if "polygons" in wanted:
                for resolution in (1, 4, 12):
                    report(f"polygons at {resolution}:1", pans(browser, address, "shapes", resolution, asked.seconds))
            browser.close()


if __name__ == "__main__":
    main()
