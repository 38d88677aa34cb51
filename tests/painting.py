"""Images with annotations, ready to be painted, and a slow reference for what the paint must be."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import shapely

from bigimage.geometry.frame import GeoFrame
from bigimage.geometry.grid import Grid
from bigimage.model.annotation import Annotation
from bigimage.model.image import Band, ImageInfo
from bigimage.model.labels import Label, Schema
from bigimage.model.shape import Polygon, Shape
from bigimage.pyramid.location import METADATA, group_document, write_json
from bigimage.rasterize.easel import StoreLink
from bigimage.rasterize.paint import Studio
from bigimage.store.leases import SqlLeases
from bigimage.store.opening import open_store
from bigimage.store.sql import SqlStore

UTM = GeoFrame("EPSG:32633")
SCHEMA = Schema(
    labels=(
        Label(name="field", value=7, order=0, color="#20c020"),
        Label(name="house", value=3, order=2, color="#ff0000", formerly=("hut",)),
        Label(name="road", value=9, order=1, color="#808080"),
        Label(name="meadow", value=1, order=-5, color="#a0ffa0"),
    ),
    background="meadow",
)


def raster(size: tuple[int, int] = (600, 700), *, pixel: float = 0.5, **facts: Any) -> ImageInfo:
    """Description of a north-up scene in UTM."""
    grid = Grid.from_transform((pixel, 0, 500_000, 0, -pixel, 5_000_000), size, UTM)
    kept: dict[str, Any] = {"id": "scene", "axes": ("c", "y", "x"), "shape": (3, *size), "dtype": "uint8"}
    return ImageInfo(grid=grid, bands=(Band(name="r"), Band(name="g"), Band(name="b")), **(kept | facts))


def studio(folder: Path, info: ImageInfo, *, schema: Schema | None = SCHEMA, **facts: Any) -> Studio:
    """A place to paint an image without pixels; its database lies beside it."""
    (folder / "scene").mkdir(parents=True)
    write_json(folder / "scene" / METADATA, group_document({"kept": 1}, {}))
    store = open_store(folder / "annotations.db")
    if schema is not None:
        store.set_schema(schema, author="ann")
    link = StoreLink(str(folder / "annotations.db"), store)
    return Studio(
        info=info, folder=folder / "scene", link=link, leases=SqlLeases(store.database), holder="test", **facts
    )


def store_of(place: Studio) -> SqlStore:
    """The open store."""
    assert isinstance(place.link.here, SqlStore)
    return place.link.here


def drawn(info: ImageInfo, number: int, shape: Shape, label: str = "house", **facts: Any) -> Annotation:
    """An annotation with a known id."""
    return Annotation(id=UUID(int=number), image=info.id, label=label, shape=shape, frame=info.grid.frame, **facts)


def rectangle(info: ImageInfo, rows: tuple[float, float], columns: tuple[float, float]) -> Polygon:
    """Polygon between index rows and columns."""
    corners = [(rows[0], columns[0]), (rows[0], columns[1]), (rows[1], columns[1]), (rows[1], columns[0])]
    return Polygon(shapely.Polygon(info.grid.to_world(np.asarray(corners, float))))


def load(place: Studio, annotations: Iterable[Annotation]) -> None:
    """Store annotations as one revision."""
    store_of(place).load(place.info.id, annotations, author="ann")


def shards(folder: Path) -> dict[str, bytes]:
    """Every stored shard below a layer's folder."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.glob("*/image/c/**/*")) if p.is_file()
    }


def mode_of_blocks(array: np.ndarray, factors: Sequence[int] = (2, 2)) -> np.ndarray:
    """Most frequent value of each block of pixels (y, x), of equally frequent ones the smallest; slow."""
    rows, columns = (-(-n // f) for n, f in zip(array.shape, factors, strict=True))
    out = np.zeros((rows, columns), array.dtype)
    for r, c in np.ndindex(rows, columns):
        block = array[r * factors[0] : (r + 1) * factors[0], c * factors[1] : (c + 1) * factors[1]]
        values, counts = np.unique(block, return_counts=True)
        out[r, c] = values[np.argmax(counts)]
    return out
