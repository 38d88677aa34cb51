"""Masks that tests write and read: small volumes on every kind of grid, their segments, and the context of an image."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bigimage.formats.door import Context, MaskStream, Report, Segment
from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import PatientFrame
from bigimage.geometry.grid import Grid
from bigimage.model.image import Band, ImageInfo
from bigimage.model.labels import Code, Label, Schema
from tests.volumes import rotation, volume

FRAME = PatientFrame("1.2.826.0.1.3680043.8.498.1")
ORGAN = Code(scheme="SCT", value="91723000", meaning="Anatomical structure")
LIVER = Label(
    name="liver", value=1, color="#dd8265", code=Code(scheme="SCT", value="10200004", meaning="Liver"), definition="all"
)
TUMOUR = Label(name="Tumör & <Rand>", value=2, color="#00ff80")
KIDNEY = Label(
    name="kidney", value=7, color="#112233", code=Code(scheme="SCT", value="64033007", meaning="Kidney structure")
)
SCHEMA = Schema(labels=(LIVER, TUMOUR, KIDNEY), version=1)
SEGMENTS = (
    Segment(value=1, label=LIVER, terms={"category": ORGAN}),
    Segment(value=2, label=TUMOUR),
    Segment(
        value=7,
        label=KIDNEY,
        terms={"category": ORGAN, "modifier": Code(scheme="SCT", value="7771000", meaning="Left")},
        origin="model:kidneys@1.4",
    ),
)
SHAPE = (9, 24, 30)


def in_frame(grid: Grid, frame: PatientFrame = FRAME) -> Grid:
    """The same grid in another frame."""
    return replace(grid, frame=frame)


def grids() -> dict[str, Grid]:
    """Grids of every kind that a volume's mask may lie on."""
    turned = rotation((0.3, -0.2, 0.5)) @ np.diag([0.7, 0.9, 2.5])
    heights = np.array([0, 2.5, 5, 9, 11.5, 14, 16.5, 19, 21.5])
    made = {
        "axial": volume(SHAPE, [(0, 0, 2.5), (0, 0.9, 0), (0.7, 0, 0)]),
        "flipped": volume(SHAPE, [(0, 0, -2.5), (0, -0.9, 0), (-0.7, 0, 0)]),
        "sagittal": volume(SHAPE, [(2.5, 0, 0), (0, 0, -0.9), (0, 0.7, 0)]),
        "oblique": volume(SHAPE, [turned[:, 2], turned[:, 1], turned[:, 0]], origin=(-31.234567, 20.1, 99.87654321)),
        "tilted": volume(SHAPE, [(0, 0.7, 2.5), (0, 0.9, 0), (0.7, 0, 0)]),
        "uneven": volume(SHAPE, [(0, 0, 2.5), (0, 0.9, 0), (0.7, 0, 0)], slices=[(0, 0, float(h)) for h in heights]),
        "single": volume((1, 24, 30), [(0, 0, 2.5), (0, 0.9, 0), (0.7, 0, 0)]),
    }
    return {name: in_frame(grid) for name, grid in made.items()}


def labels(shape: Sequence[int] = SHAPE, *, dtype: str = "uint8") -> np.ndarray:
    """Three segments: a blob, a one-voxel speck inside it, and a bar up to the last corner."""
    array = np.zeros(shape, dtype)
    z = min(2, shape[0] - 1)
    array[: z + 3, 4:15, 3:20] = 1
    array[z, 9, 11] = 2
    array[-1, 20:, 22:] = 7
    array[-1, -1, -1] = 7
    return array


def stream(array: np.ndarray, grid: Grid, segments: Sequence[Segment] = SEGMENTS, **facts: Any) -> MaskStream:
    """Stream of an array (z, y, x) or (layer, z, y, x)."""
    layers = array if array.ndim == grid.ndim + 1 else array[None]

    def read(layer: int, box: IndexBox) -> np.ndarray:
        return layers[layer][box.slices]

    return MaskStream(
        grid=grid, segments=tuple(segments), dtype=array.dtype.name, read=read, layers=len(layers), **facts
    )


def info_of(grid: Grid, **facts: Any) -> ImageInfo:
    """Description of an image on a grid."""
    axes = ("z", "y", "x") if grid.ndim == 3 else ("c", "y", "x")
    shape = grid.shape if grid.ndim == 3 else (1, *grid.shape)
    defaults: dict[str, Any] = {"id": "ct", "bands": (Band(name="CT", interpretation="gray"),), "dtype": "int16"}
    return ImageInfo(grid=grid, axes=axes, shape=shape, **(defaults | facts))


def context_of(grid: Grid, *, schema: Schema = SCHEMA, **facts: Any) -> Context:
    """Context of an image on a grid; nothing is painted here."""
    paint: Callable[..., Any] = lambda shape, grid, box: np.zeros(box.shape, bool)  # noqa: E731
    return Context(info=info_of(grid, **facts), schema=schema, paint=paint)


def everything(mask: MaskStream) -> np.ndarray:
    """All layers as one array (layer, …)."""
    return np.stack([mask.read(layer, mask.grid.box) for layer in range(mask.layers)])


def written(module: Any, path: Any, mask: MaskStream, context: Context, **options: str) -> Report:
    """Write a mask and hand back the report."""
    report = Report()
    module.write(path, mask, context=context, report=report, options=options)
    return report


def reread(module: Any, path: Any, context: Context, **options: str) -> tuple[MaskStream, Report]:
    """Read a file and hand back the stream and the report."""
    report = Report()
    return module.read(path, context=context, report=report, options=options), report


CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"


def dicom_extra(grid: Grid, *, study: str = "1.2.3.4", root: str = "1.2.3.5", frames: bool = False) -> dict[str, Any]:
    """What an image from DICOM knows of its files."""
    count = grid.shape[0]
    instances = [[root, k + 1] if frames else [f"{root}.{k + 1}", None] for k in range(count)]
    export = {
        "PatientID": "P-17",
        "PatientName": "Müller^Jörg",
        "PatientBirthDate": "19600102",
        "PatientSex": "M",
        "StudyID": "S1",
        "StudyDate": "20250203",
        "StudyTime": "101112",
        "AccessionNumber": "A-1",
        "ReferringPhysicianName": "Who^Knows",
    }
    return {
        "modality": "CT",
        "sop_class": CT_CLASS + ".1" if frames else CT_CLASS,
        "study": study,
        "series": "1.2.3.6",
        "instances": [instances],
        "export": export,
    }


def dicom_context(grid: Grid, *, schema: Schema = SCHEMA, **facts: Any) -> Context:
    """Context of an image that comes from DICOM."""
    return context_of(grid, schema=schema, extra=dicom_extra(grid, **facts))
