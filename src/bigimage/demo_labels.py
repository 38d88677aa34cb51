"""The demo's annotations: the counties of the United States on its scene, contours of a threshold on its scans. Pure.

Nothing here is stored: functions return schemas and annotations with ids that are the same every time, so that a
second run of the demo finds what the first one made.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import NAMESPACE_URL, uuid5

import numpy as np
import shapely

from bigimage.errors import FrameMismatch, InputError
from bigimage.geometry.frame import GeoFrame, PatientFrame, PixelFrame, name, transform_points
from bigimage.geometry.grid import Grid
from bigimage.model.annotation import Annotation
from bigimage.model.labels import Attribute, Label, Schema, distinct_color
from bigimage.model.patch import Patch
from bigimage.model.shape import PlanarContours, Polygon
from bigimage.rasterize.trace import trace

if TYPE_CHECKING:
    from numpy.typing import NDArray

COUNTIES: Final = "us-counties"
"""Name of the sample that `counties` reads."""
COUNTY: Final = "county"
"""Label above those of the states."""
TISSUE: Final = "tissue"
"""Label of what a scan shows brighter than air."""
TISSUE_VALUE: Final = 200
LEAST_PIXELS: Final = 64
"""Regions of a slice smaller than this are noise."""
SMOOTH: Final = 1.0
"""Pixels of detail that are smoothed out of a contour."""
STATES: Final = {
    "01": "Alabama",
    "02": "Alaska",
    "04": "Arizona",
    "05": "Arkansas",
    "06": "California",
    "08": "Colorado",
    "09": "Connecticut",
    "10": "Delaware",
    "11": "District of Columbia",
    "12": "Florida",
    "13": "Georgia",
    "15": "Hawaii",
    "16": "Idaho",
    "17": "Illinois",
    "18": "Indiana",
    "19": "Iowa",
    "20": "Kansas",
    "21": "Kentucky",
    "22": "Louisiana",
    "23": "Maine",
    "24": "Maryland",
    "25": "Massachusetts",
    "26": "Michigan",
    "27": "Minnesota",
    "28": "Mississippi",
    "29": "Missouri",
    "30": "Montana",
    "31": "Nebraska",
    "32": "Nevada",
    "33": "New Hampshire",
    "34": "New Jersey",
    "35": "New Mexico",
    "36": "New York",
    "37": "North Carolina",
    "38": "North Dakota",
    "39": "Ohio",
    "40": "Oklahoma",
    "41": "Oregon",
    "42": "Pennsylvania",
    "44": "Rhode Island",
    "45": "South Carolina",
    "46": "South Dakota",
    "47": "Tennessee",
    "48": "Texas",
    "49": "Utah",
    "50": "Vermont",
    "51": "Virginia",
    "53": "Washington",
    "54": "West Virginia",
    "55": "Wisconsin",
    "56": "Wyoming",
    "72": "Puerto Rico",
}
"""States by their number in FIPS 5-2, which is their value in masks too."""
KINDS: Final = {
    "Borough": "borough",
    "CA": "census area",
    "City": "city",
    "County": "county",
    "Cty&Bor": "city and borough",
    "Muny": "municipality",
    "Muno": "municipio",
    "Parish": "parish",
}
"""What a county is called, by the abbreviation in the file; the District of Columbia has none."""
_OF_COUNTIES: Final = (
    Attribute(name="name", type="text", required=True),
    Attribute(name="kind", type="choice", values=tuple(sorted(set(KINDS.values())))),
    Attribute(name="fips", type="text"),
)


def schema() -> Schema:
    """Labels of the demo: a county's is its state; on scans there is tissue."""
    county = Label(
        name=COUNTY,
        value=99,
        color="#888888",
        shapes=("polygon",),
        attributes=_OF_COUNTIES,
        definition="A county or what stands for one; the narrower labels say of which state.",
    )
    states = [
        Label(
            name=state,
            value=int(number),
            order=1,
            color=distinct_color(place),
            parent=COUNTY,
            shapes=("polygon",),
            attributes=_OF_COUNTIES,
        )
        for place, (number, state) in enumerate(STATES.items())
    ]
    tissue = Label(
        name=TISSUE,
        value=TISSUE_VALUE,
        order=1,
        color="#e8a33d",
        shapes=("contours",),
        definition="What is brighter than a threshold between air and everything else; drawn by a program.",
    )
    return Schema(labels=(county, *states, tissue))


def counties(path: Path, image: str, frame: GeoFrame) -> Iterator[Annotation]:
    """A polygon for each county of the sample's shapefile, in the frame of an image.

    `path` is what `bigimage.samples.locate(COUNTIES)` returns. Raises InputError when it is another file.
    """
    import geopandas

    table: Any = geopandas.read_file(path)
    missing = {"FIPS", "STATE_FIPS", "NAME", "LSAD"} - set(table.columns)
    if missing or table.crs is None:
        raise InputError(f"{path.name} is not the sample {COUNTIES}: it lacks {', '.join(sorted(missing)) or 'a CRS'}")
    own = GeoFrame.of(table.crs.to_wkt())
    rows = zip(table["FIPS"], table["STATE_FIPS"], table["NAME"], table["LSAD"], table.geometry, strict=True)
    for fips, state, county, kind, geometry in rows:
        attributes = {"name": county, "fips": fips} | ({"kind": KINDS[kind]} if kind in KINDS else {})
        yield Annotation(
            id=uuid5(NAMESPACE_URL, f"bigimage:demo:{image}:{fips}"),
            image=image,
            label=STATES[state],
            shape=Polygon(shapely.transform(geometry, lambda points: transform_points(points, own, frame))),
            frame=frame,
            attributes=attributes,
            origin="import",
        )


def threshold(values: "NDArray[Any]") -> float:
    """Value that parts a histogram in two: Otsu 1979, on 256 bins between the 1st and the 99th percentile.

    Raises InputError when there are no two different finite values.
    """
    finite = values[np.isfinite(values)].astype(np.float64)
    low, high = np.percentile(finite, (1, 99)) if finite.size else (0.0, 0.0)
    if not low < high:
        raise InputError("values that are all alike have no threshold between them")
    counts, edges = np.histogram(np.clip(finite, low, high), 256)
    middle = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = below[-1] + counts[-1] - below
    total = np.cumsum(counts * middle)
    apart = total[:-1] / np.maximum(below, 1) - (total[-1] - total[:-1]) / np.maximum(above, 1)
    return float(edges[1 + int(np.argmax(below * above * apart**2))])


def contours(patch: Patch, image: str, *, above: float | None = None) -> Annotation | None:
    """Contours, slice by slice, of what is brighter than a threshold in a volume; None where nothing is.

    Parameters
    ----------
    patch
        The volume's first band at one time: array (1, z, y, x) or (z, y, x).
    above
        The threshold; by default Otsu's.

    Raises
    ------
    InputError, FrameMismatch
        For a patch that is no volume of one band, or values that are all alike.
    """
    frame = patch.grid.frame
    if not isinstance(frame, PatientFrame):
        raise FrameMismatch(f"contours are drawn in a volume, not in {name(frame)}")
    array: NDArray[Any] = patch.array[0] if patch.array.ndim == 4 and len(patch.array) == 1 else patch.array
    if array.ndim != 3:
        raise InputError(f"contours take one band of a volume, not an array of shape {patch.array.shape}")
    level = threshold(array) if above is None else above
    bright: NDArray[np.bool_] = np.greater(array, level)
    if patch.valid is not None:
        bright &= patch.valid
    rings = [ring for index, plane in enumerate(bright) for ring in _rings(plane, index, patch.grid)]
    if not rings:
        return None
    return Annotation(
        id=uuid5(NAMESPACE_URL, f"bigimage:demo:{image}:{TISSUE}"),
        image=image,
        label=TISSUE,
        shape=PlanarContours.of(rings),
        frame=frame,
        origin="model:threshold@1",
    )


def _rings(plane: "NDArray[np.bool_]", index: int, grid: Grid) -> "Iterator[NDArray[np.float64]]":
    """Rings (n, 3) in the world around the regions of one slice, on its middle plane."""
    flat = Grid.from_transform((1.0, 0.0, 0.0, 0.0, 1.0, 0.0), plane.shape, PixelFrame("slice"))
    found = trace(plane.astype(np.uint8), flat, tolerance=SMOOTH)
    for region in found.shapes:
        if region.area < LEAST_PIXELS:
            continue
        for part in shapely.get_parts(region):
            holes = [hole for hole in part.interiors if shapely.Polygon(hole).area >= LEAST_PIXELS]
            for ring in (part.exterior, *holes):
                column, row = shapely.get_coordinates(ring).T
                yield grid.to_world(np.stack([np.full_like(row, index + 0.5), row, column], axis=-1))
