"""The demo: a real scene and real scans become pyramids, with annotations, masks and exports, ready to be served."""

import gzip
import re
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path

import numpy as np

from bigimage.demo_labels import COUNTIES, contours, counties, schema
from bigimage.errors import DataError, Unsupported
from bigimage.exchange.layers import layer_stream
from bigimage.exchange.vector import context_for
from bigimage.formats.door import MaskStream, Report
from bigimage.formats.mask import FORMATS
from bigimage.formats.mask.streams import slabs
from bigimage.geometry.frame import GeoFrame, PatientFrame
from bigimage.model.annotation import Annotation
from bigimage.progress import reporting
from bigimage.pyramid.pyramid import Pyramid
from bigimage.samples import get, locate
from bigimage.settings import Settings
from bigimage.workspace import Workspace, open_workspace

AUTHOR = "demo"
SCENE = "blue-marble"
SCANS = ("oblique-mr", "siemens-mosaic", "dicomdir")
"""A brain oblique to the patient's axes, one whose slices are tiles of a sheet, and a disc with many series."""
MANY = 4
"""Images of one source beyond which they are told together."""


SYNTHETIC = "chest"
EXPORTS = "exports"
"""Folder in the workspace with what is exported."""
MOST_VOXELS = 1 << 28
"""Largest volume on which contours are drawn by a threshold, which takes all of it at once."""


def run(
    settings: Settings, *, scene: Path | None, scan: Path | None, synthetic: Path | None, say: Callable[[str], None]
) -> list[str]:
    """Make what the demo shows, or what is missing of it, and say what was made; returns the image ids.

    `scene` and `scan` replace the samples; `synthetic` is a folder with a generated scan to show beside them. Raises
    Unsupported when the packages that carry the samples are missing, DataError when an export does not read back.
    """
    with closing(open_workspace(settings=settings)) as workspace:
        sources = [[_scene(workspace, scene)]]
        if scan is not None:
            sources.append(_own(workspace, scan))
        else:
            sources += [_scan(workspace, name) for name in SCANS if scene is None or _is_there(name)]
        if synthetic is not None and scan is None:
            sources.append(_ingested(workspace, SYNTHETIC, lambda: nullcontext(synthetic), "a synthetic chest CT"))
        for images in sources:
            _tell(workspace, images, say)
        if scene is None:
            grid = workspace.image(SCENE).info.grid
            if isinstance(grid.frame, GeoFrame):
                _annotate(workspace, SCENE, counties(locate(COUNTIES), SCENE, grid.frame))
                _show(workspace, SCENE, say)
        drawn_on = sources[-1] if scan is not None or synthetic is not None else []
        if (volume := _volume(workspace, drawn_on)) is not None:
            drawn = contours(volume.read_index(volume.info.grid.box, bands=[0]), volume.id)
            _annotate(workspace, volume.id, [] if drawn is None else [drawn])
            _show(workspace, volume.id, say)
    return [image for images in sources for image in images]


def _volume(workspace: Workspace, images: Sequence[str]) -> Pyramid | None:
    """The first of some images that is a volume of several slices, and not too large to be drawn on."""
    for image in images:
        grid = workspace.image(image).info.grid
        if isinstance(grid.frame, PatientFrame) and grid.shape[0] > 1 and grid.box.size <= MOST_VOXELS:
            return workspace.image(image)
    return None


def _annotate(workspace: Workspace, image: str, annotations: Iterable[Annotation]) -> None:
    """Store the demo's annotations where nobody has drawn anything, under its schema where there is none."""
    if workspace.annotations.revision(image) is not None:
        return
    if not workspace.annotations.schema().version:
        workspace.annotations.set_schema(schema(), author=AUTHOR)
    workspace.annotations.load(image, annotations, author=AUTHOR)


def _show(workspace: Workspace, image: str, say: Callable[[str], None]) -> None:
    """Paint an image's annotations, export them and their mask, and hold the files to what is stored."""
    if workspace.annotations.revision(image) is None:
        return
    with reporting(f"paint {image}") as progress:
        layer = workspace.rasterize(image, progress=progress)
    folder = workspace.path / EXPORTS
    folder.mkdir(exist_ok=True)
    vectors = workspace.export(image, format="geojson", output=folder / f"{image}.geojson").path
    again = workspace.import_file(image, vectors)
    if again.added or again.changed:
        raise DataError(f"{vectors} does not hold what is stored: {again.added + again.changed} annotations differ")
    say(f"{image}: {again.unchanged} annotations, in {vectors}")
    is_scan = isinstance(workspace.image(image).info.grid.frame, PatientFrame)
    is_dicom = workspace.record(image)["provenance"].get("driver") == "DICOM"
    format_name, suffix = (
        ("geotiff", "tif") if not is_scan else ("dicom-seg", "dcm") if is_dicom else ("nifti", "nii.gz")
    )
    mask = workspace.export(image, format=format_name, layer=layer.name, output=folder / f"{image}.{suffix}").path
    labels, report = workspace.annotations.schema(), Report()
    painted = _labelled(layer_stream(layer, labels, report=report))
    context = context_for(workspace.image(image).info, labels)
    found = _labelled(FORMATS[format_name].read(mask, context=context, report=report, options={}))
    if found != painted:
        raise DataError(f"{mask} does not hold what was painted: {found} pixels instead of {painted}")
    say(f"{image}: {painted} pixels painted into layer {layer.name}, in {mask}")


def _labelled(mask: MaskStream) -> int:
    """Number of pixels of a mask that are not background."""
    return sum(int(np.count_nonzero(part)) for _, part in slabs(mask))


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
    return _ingested(workspace, name, lambda: unpacked(locate(name)), get(name).what)


def _ingested(
    workspace: Workspace, name: str, find: Callable[[], AbstractContextManager[Path]], what: str
) -> list[str]:
    """The images made under a name, made where they are missing."""
    numbered = re.compile(rf"{re.escape(name)}(-\d+)?")
    known = sorted((r["id"] for r in workspace.images() if numbered.fullmatch(r["id"])), key=lambda i: (len(i), i))
    if known:
        return known
    with find() as path, reporting(f"ingest {what}") as progress:
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
