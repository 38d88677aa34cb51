"""The demo: a real scene and real scans become pyramids, ready to be served."""

import gzip
import re
import shutil
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bigimage.errors import Unsupported
from bigimage.progress import reporting
from bigimage.samples import get, locate
from bigimage.settings import Settings
from bigimage.workspace import Workspace, open_workspace

SCENE = "blue-marble"
SCANS = ("oblique-mr", "siemens-mosaic", "dicomdir")
"""A brain oblique to the patient's axes, one whose slices are tiles of a sheet, and a disc with many series."""
MANY = 4
"""Images of one source beyond which they are told together."""


def run(settings: Settings, *, scene: Path | None, scan: Path | None, say: Callable[[str], None]) -> list[str]:
    """Make what the demo shows, or what is missing of it, and say what was made; returns the image ids.

    `scene` and `scan` replace the samples. Raises Unsupported when the packages that carry the samples are missing.
    """
    workspace = open_workspace(settings=settings)
    sources = [[_scene(workspace, scene)]]
    if scan is not None:
        sources.append(_own(workspace, scan))
    else:
        sources += [_scan(workspace, name) for name in SCANS if scene is None or _is_there(name)]
    for images in sources:
        _tell(workspace, images, say)
    return [image for images in sources for image in images]


def _tell(workspace: Workspace, images: Sequence[str], say: Callable[[str], None]) -> None:
    """What became of one source: each image, or all together where there are many."""
    records = [workspace.record(image) for image in images]
    if len(records) > MANY:
        codes = sorted({verdict["code"] for record in records for verdict in record["verdicts"]})
        say(f"{images[0]} to {images[-1]}: {len(images)} images; verdicts {', '.join(codes)}")
        return
    for record in records:
        shape = "×".join(map(str, record["shape"]))
        say(f"{record['id']}: {shape} {record['dtype']}, {len(record['levels'])} levels, at {record['store']}")
        for verdict in record["verdicts"]:
            say(f"  {verdict['code']}: {verdict['message']}")


def _is_there(name: str) -> bool:
    """Whether the package that carries a sample is installed; who brings a scene needs none."""
    try:
        locate(name, verify=False)
    except Unsupported:
        return False
    return True


def _scan(workspace: Workspace, name: str) -> list[str]:
    """The images of a sample scan, made where they are missing."""
    numbered = re.compile(rf"{re.escape(name)}(-\d+)?")
    known = sorted((r["id"] for r in workspace.images() if numbered.fullmatch(r["id"])), key=lambda i: (len(i), i))
    if known:
        return known
    with unpacked(locate(name)) as path, reporting(f"ingest {get(name).what}") as progress:
        return [image.id for image in workspace.ingest(path, name=name, progress=progress)]


@contextmanager
def unpacked(path: Path) -> Generator[Path]:
    """A sample as its reader wants it: a gzipped DICOM file is unpacked for as long as it is needed."""
    if not path.name.endswith(".dcm.gz"):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / path.stem
        with gzip.open(path) as packed, target.open("wb") as file:
            shutil.copyfileobj(packed, file)
        yield target


def _scene(workspace: Workspace, scene: Path | None) -> str:
    """The user's scene, or the Blue Marble placed on the whole globe."""
    if scene is not None:
        return _own(workspace, scene)[0]
    known = {record["id"] for record in workspace.images()}
    if SCENE not in known:
        sample = get(SCENE)
        with reporting(f"ingest {sample.what}") as progress:
            workspace.ingest(locate(SCENE), name=SCENE, crs=sample.crs, bounds=sample.bounds, progress=progress)
    return SCENE


def _own(workspace: Workspace, path: Path) -> list[str]:
    """The user's own file or folder, ingested unless this very file was."""
    known = [r["id"] for r in workspace.images() if r["provenance"].get("source") == path.name]
    if known:
        return known
    with reporting(f"ingest {path.name}") as progress:
        return [image.id for image in workspace.ingest(path, progress=progress)]
