"""Annotated images of every kind, for tests of formats."""

from uuid import UUID

import numpy as np
import shapely

from bigimage.exchange.painting import outline_mask, paint
from bigimage.formats.door import Context
from bigimage.geometry.frame import GeoFrame, PatientFrame
from bigimage.geometry.grid import Grid
from bigimage.model.annotation import Annotation, Relation
from bigimage.model.image import Band, ImageInfo
from bigimage.model.labels import Attribute, Label, Schema, Skeleton
from bigimage.model.mask import Mask
from bigimage.model.shape import (
    Box,
    Cuboid,
    Ellipse,
    Keypoints,
    Line,
    MultiPoint,
    PlanarContours,
    Point,
    Polygon,
    RotatedBox,
    Shape,
    Tag,
)

IMAGE = "scene"
GRIDS = {
    "pixel": Grid.pixels((240, 320), IMAGE),
    "geo": Grid.from_transform((0.5, 0, 500_000, 0, -0.5, 5_000_000), (240, 320), GeoFrame.of("EPSG:32633")),
    "turned": Grid.from_transform((0.3, 0.4, 500_000, 0.4, -0.3, 5_000_000), (240, 320), GeoFrame.of("EPSG:32633")),
    "patient": Grid(
        (20, 64, 80),
        ((0, 0, 0.8, -30), (0, 0.8, 0, -20), (2.5, 0, 0, 100)),
        PatientFrame("1.2.826.0.1.3680043.8.498.1"),
    ),
}
SCHEMA = Schema(
    labels=(
        Label(name="ship", value=1, color="#1f77b4", attributes=(
            Attribute(name="flag", type="text"), Attribute(name="length", type="number"),
            Attribute(name="truncated", type="boolean"), Attribute(name="occluded", type="boolean"),
        )),
        Label(name="person", value=4, skeleton=Skeleton(points=("head", "hand", "foot"), edges=((0, 1), (1, 2)))),
        Label(name="small boat", value=7, parent="ship", order=2),
    ),
    version=3,
)  # fmt: skip


def info_of(grid: Grid) -> ImageInfo:
    """Description of an image of a grid."""
    axes = ("z", "y", "x") if grid.ndim == 3 else ("y", "x")
    return ImageInfo(id=IMAGE, grid=grid, axes=axes, shape=grid.shape, dtype="uint8", bands=(Band(name="one"),))


def context_of(kind: str, schema: Schema = SCHEMA, **fields: str) -> Context:
    """What formats are told about one of the images."""
    return Context(
        info=info_of(GRIDS[kind]),
        schema=schema,
        paint=paint,
        trace=outline_mask,
        **{"file_name": "scene.png", **fields},
    )


def flat_shapes(grid: Grid) -> list[Shape]:
    """One shape of each kind that a flat image has, within it, drawn by pixels."""

    def at(*points: tuple[float, float]) -> list[tuple[float, float]]:
        return [tuple(p) for p in grid.to_world(np.array(points)[:, ::-1]).tolist()]

    scale = float(np.sqrt(abs(np.linalg.det(np.asarray(grid.affine)[:, :2]))))
    bits = np.zeros((40, 50), dtype=bool)
    bits[3:30, 4:40], bits[10:20, 10:20], bits[35:39, 1:49] = True, False, True
    (center,) = at((100, 60))
    low, high = np.sort(np.array(at((20.25, 30.5), (61.75, 50))), axis=0).tolist()
    ring = at((150, 20), (199.5, 20), (199.5, 80.25), (170, 95))
    hole = at((160, 30), (170, 30), (170, 40))
    return [
        Polygon(shapely.Polygon(at((10, 10), (60.5, 12.25), (40, 70)))),
        Polygon(shapely.Polygon(ring, [hole])),
        Polygon(shapely.MultiPolygon([shapely.Polygon(ring), shapely.Polygon(at((220, 20), (240, 20), (230, 50)))])),
        Box(tuple(low), tuple(high)),
        RotatedBox(center, (30 * scale, 12.5 * scale), 30.0),
        Ellipse(center, (20 * scale, 8 * scale), -15.0),
        Mask.of(grid, bits, (100, 120)),
        Line(shapely.LineString(at((1, 1), (30, 44), (80, 12)))),
        Point(shapely.Point(at((33.25, 12.5))[0])),
        MultiPoint(shapely.MultiPoint(at((5, 6), (7, 9)))),
        Keypoints((at((70, 70))[0], at((75, 81.5))[0], None), (2, 1, 0)),
        Tag(),
    ]


def volume_shapes(grid: Grid) -> list[Shape]:
    """One shape of each kind that a volume has, within it."""
    low, high = grid.world_bounds().minimum, grid.world_bounds().maximum
    x, y, z = ((a + b) / 2 for a, b in zip(low, high, strict=True))
    bits = np.zeros((4, 20, 20), dtype=bool)
    bits[1:3, 4:15, 4:15] = True
    square = np.array([[x, y, z], [x + 8, y, z], [x + 8, y + 6, z], [x, y + 6, z]])
    turn = (0.8, 0.0, 0.0, 0.6)
    return [
        PlanarContours.of([square, square[:3] + np.array([0.5, 0.5, 2.5])]),
        Box((x, y, z), (x + 5, y + 6, z + 7)),
        RotatedBox((x, y, z), (6.0, 4.0), turn),
        Ellipse((x, y, z), (6.0, 4.0, 3.0), turn),
        Cuboid((x, y, z), (6.0, 4.0, 3.0), turn),
        Keypoints(((x, y, z), None, (x + 1, y, z)), (2, 0, 1)),
        Point(shapely.Point(x, y, z)),
        Line(shapely.LineString([(x, y, z), (x + 4, y + 2, z + 1)])),
        Mask.of(grid, bits, (5, 10, 10)),
        Tag(plane="axial", index=3),
    ]


def drawn(kind: str) -> list[Annotation]:
    """Annotations of one of the images: each kind of shape, and each field somewhere."""
    grid = GRIDS[kind]
    shapes = volume_shapes(grid) if grid.ndim == 3 else flat_shapes(grid)
    out: list[Annotation] = []
    for k, shape in enumerate(shapes):
        label = "person" if isinstance(shape, Keypoints) else ("ship", "small boat")[k % 2]
        extra = {}
        if k % 3 == 0:
            extra = {"score": 0.75, "origin": "model:net@2", "instance": f"object {k}"}
        if label == "ship":
            extra["attributes"] = {"flag": "Ünïcode & <é>", "length": 12.5}
        if k == 1:
            extra["relations"] = (Relation("near", UUID(int=77)),)
        out.append(Annotation(id=UUID(int=k + 1), image=IMAGE, label=label, shape=shape, frame=grid.frame, **extra))
    return out
