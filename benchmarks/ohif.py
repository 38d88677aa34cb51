"""Exports of a scan as OHIF draws them, out of an Orthanc that keeps them.

    python -m benchmarks.ohif [--app DIR] [--pictures DIR]

Needs Chromium, npm, and the Debian packages orthanc and orthanc-dicomweb. OHIF is fetched by npm where it is not there.
Each kind of file is filed beside its scan and opened by a double click, as a reader does. Prints how much of the
picture is then in colour and where, or how many outlines are drawn; fails where nothing is, or not in the middle, where
the organ is.
"""

import argparse
import http.client
import http.server
import json
import mimetypes
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright

from bigimage import open_workspace
from bigimage.model.mask import Mask
from fixtures.phantom import ct_series
from tests import orthanc
from tests.browser.conftest import FLAGS

VERSION = "3.13.2"
PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
ROOT = "/dicom-web"
FORMATS = {"dicom-seg": "SEG", "dicom-seg-labelmap": "SEG", "rtstruct": "RTSTRUCT"}
SOURCE = {
    "friendlyName": "scan",
    "name": "scan",
    "qidoRoot": ROOT,
    "wadoRoot": ROOT,
    "wadoUriRoot": ROOT,
    "qidoSupportsIncludeField": False,
    "imageRendering": "wadors",
    "thumbnailRendering": "wadors",
    "enableStudyLazyLoad": True,
    "supportsWildcard": True,
    "staticWado": True,
    "singlepart": "bulkdata,video",
    "bulkDataURI": {"enabled": True, "relativeResolution": "studies"},
    "omitQuotationForMultipartRequest": True,
    "acceptHeader": ["multipart/related; type=application/octet-stream; transfer-syntax=*"],
}
CONFIG = {
    "routerBasename": "/",
    "extensions": [],
    "modes": [],
    "showStudyList": True,
    "investigationalUseDialog": {"option": "never"},
    "defaultDataSourceName": "dicomweb",
    "dataSources": [
        {
            "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
            "sourceName": "dicomweb",
            "configuration": SOURCE,
        }
    ],
}
LOOK = """() => {
  const canvas = document.querySelector('canvas.cornerstone-canvas')
  if (!canvas?.width) return { shown: 0, coloured: 0, at: [0, 0], outlines: 0 }
  const copy = document.createElement('canvas')
  copy.width = canvas.width; copy.height = canvas.height
  const context = copy.getContext('2d')
  context.drawImage(canvas, 0, 0)
  const { data } = context.getImageData(0, 0, copy.width, copy.height)
  let [shown, coloured, x, y] = [0, 0, 0, 0]
  for (let i = 0; i < data.length; i += 4) {
    const [r, g, b] = data.slice(i, i + 3)
    shown += r + g + b > 0
    if (Math.max(r, g, b) - Math.min(r, g, b) > 25) {
      coloured++; x += (i / 4) % copy.width; y += Math.floor(i / 4 / copy.width)
    }
  }
  const outlines = document.querySelectorAll('svg.svg-layer path, svg.svg-layer polyline').length
  const at = coloured ? [x / coloured / copy.width, y / coloured / copy.height] : [0, 0]
  return { shown: shown / copy.width / copy.height, coloured: coloured / copy.width / copy.height, at, outlines }
}"""


def exports(folder: Path, scan: Path) -> dict[str, Path]:
    """A hollow ball in the middle of a scan, in each format."""
    space = open_workspace(folder)
    space.ingest(scan, name="ct")
    code = {"scheme": "SCT", "value": "10200004", "meaning": "Liver"}
    space.annotations.set_schema({"labels": [{"name": "liver", "value": 1, "color": "#ff2020", "code": code}]})
    grid = space.image("ct").info.grid
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in grid.shape), indexing="ij")
    radius = y**2 + x**2 + 0.3 * z**2
    space.annotations.add("ct", Mask.of(grid, (radius < 0.4) & (radius > 0.1)), label="liver")
    space.rasterize("ct", layer="organs")
    made: dict[str, Path] = {}
    for format, modality in FORMATS.items():
        made[format] = folder / f"{format}.dcm"
        space.export("ct", format=format, layer="organs" if modality == "SEG" else None, output=made[format])
    space.close()
    return made


class Handler(http.server.BaseHTTPRequestHandler):
    """OHIF's files, its settings, and DICOMweb of a server behind."""

    def __init__(self, *arguments: Any, app: Path, port: int) -> None:
        self._app, self._port = app, port
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """Answer a request."""
        path = self.path.partition("?")[0]
        if path.startswith(ROOT):
            self._pass_on()
        elif path == "/app-config.js":
            self._send(200, "text/javascript", f"window.config = {json.dumps(CONFIG)}".encode())
        else:
            file = self._app / path.lstrip("/")
            # its own addresses are no files
            file = file if file.is_file() else self._app / "index.html"
            self._send(200, mimetypes.guess_type(file)[0] or "application/octet-stream", file.read_bytes())

    def _pass_on(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)
        kept = {k: v for k, v in self.headers.items() if k.lower() in ("accept", "host")}
        connection.request("GET", self.path, headers=kept)
        reply = connection.getresponse()
        self._send(reply.status, reply.headers.get("Content-Type", ""), reply.read())
        connection.close()

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def web(app: Path, port: int) -> Iterator[str]:
    """Address of OHIF in front of a DICOM server."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, app=app, port=port))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def fetched(app: Path) -> Path:
    """Folder of OHIF's files."""
    if not (app / "package" / "dist" / "index.html").exists():
        app.mkdir(parents=True, exist_ok=True)
        name = subprocess.run(
            ["npm", "pack", f"@ohif/app@{VERSION}", "--silent"], cwd=app, check=True, capture_output=True, text=True
        ).stdout.strip()
        subprocess.run(["tar", "xzf", name], cwd=app, check=True)
    return app / "package" / "dist"


def drawn(page: Page, address: str, modality: str) -> dict[str, Any]:
    """What is seen after a double click on the one entry of that modality; the slice where most is seen."""
    page.goto(address, wait_until="load", timeout=120_000)
    page.wait_for_function(f"({LOOK})().shown > 0.05", timeout=120_000)
    page.wait_for_timeout(2_000)
    if page.get_by_text("Skip all").count():
        page.get_by_text("Skip all").first.click()
    before = page.evaluate(LOOK)
    page.get_by_text(modality, exact=True).first.dblclick()
    page.wait_for_timeout(4_000)
    for answer in ("Yes", "Load"):
        if page.get_by_text(answer, exact=True).count():
            page.get_by_text(answer, exact=True).first.click()
            break
    page.wait_for_timeout(5_000)
    page.locator("canvas.cornerstone-canvas").first.hover()
    best: dict[str, Any] = page.evaluate(LOOK)
    for _ in range(12):
        page.mouse.wheel(0, 100)
        page.wait_for_timeout(500)
        best = max(best, page.evaluate(LOOK), key=lambda seen: (seen["coloured"], seen["outlines"]))
    return best | {"before": before}


def verdict(modality: str, seen: dict[str, Any]) -> str:
    """What to say; begins with FAILED where nothing is drawn, or not in the middle."""
    if modality == "RTSTRUCT":
        told = f"{seen['outlines']} outlines"
        return told if seen["outlines"] > seen["before"]["outlines"] else f"FAILED: {told}"
    told = f"{seen['coloured']:.1%} of the picture in colour, around {seen['at'][0]:.2f}, {seen['at'][1]:.2f}"
    middle = all(abs(v - 0.5) < 0.08 for v in seen["at"])
    return told if middle and seen["coloured"] > 0.01 > seen["before"]["coloured"] else f"FAILED: {told}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--app", type=Path, default=Path(".venv-readers") / "ohif")
    parser.add_argument("--pictures", type=Path, help="where screenshots go")
    arguments = parser.parse_args()
    app = fetched(arguments.app)
    failed = 0
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        scan = ct_series(folder / "scan", size=128, slices=24, spacing=(4.0, 2.5, 2.5))
        made = exports(folder / "ws", scan)
        (folder / "orthanc").mkdir()
        settings = {"Plugins": [PLUGIN], "DicomWeb": {"Enable": True, "Root": f"{ROOT}/"}}
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        with orthanc.server(folder / "orthanc", **settings) as kept, web(app, kept.port) as address:
            for file in sorted(scan.glob("*")):
                kept.ask("/instances", file.read_bytes())
            study = kept.ask(f"/studies/{kept.ask('/studies')[0]}")["MainDicomTags"]["StudyInstanceUID"]
            print("| format | OHIF draws |\n|---|---|")
            for format, modality in FORMATS.items():
                filed = kept.ask("/instances", made[format].read_bytes())["ID"]
                page = browser.new_page(viewport={"width": 1400, "height": 900})
                told = verdict(modality, drawn(page, f"{address}/viewer?StudyInstanceUIDs={study}", modality))
                if arguments.pictures:
                    page.screenshot(path=arguments.pictures / f"{format}.png")
                page.close()
                kept.remove(f"/instances/{filed}")
                failed += told.startswith("FAILED")
                print(f"| {format} | {told} |", flush=True)
        browser.close()
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
