"""OME-Zarr 0.5: accepted by its models, half a pixel where it belongs, and only what is known."""

from typing import Any

import numpy as np
import pytest
from ome_zarr_models.v05.multiscales import Multiscale

from bigimage.geometry.frame import GeoFrame, PixelFrame
from bigimage.geometry.grid import Grid
from bigimage.model.image import Band, ImageInfo
from bigimage.pyramid.layout import plan_pyramid
from bigimage.pyramid.ome import multiscales
from tests.pyramids import describe


def _document(array: np.ndarray, **facts: Any) -> dict[str, Any]:
    info = describe(array, **facts)
    return multiscales(info, [level.grid for level in plan_pyramid(info).levels])


def _centre_by_ome(dataset: dict[str, Any], index: np.ndarray) -> np.ndarray:
    """Where OME says the centre of a pixel lies, in its own (centre-based) coordinates."""
    scale, *shift = dataset["coordinateTransformations"]
    return index * scale["scale"][-2:] + (shift[0]["translation"][-2:] if shift else 0.0)


def test_levels_lie_on_each_other() -> None:
    """The first centre is OME's origin; every other one is where our grid has it."""
    info = describe(np.zeros((3, 1001, 700), "uint8"))
    grids = [level.grid for level in plan_pyramid(info).levels]
    (scales,) = multiscales(info, grids)["multiscales"]
    origin = info.grid.to_world((0.5, 0.5))
    assert "translation" not in str(scales["datasets"][0])
    for grid, dataset in zip(grids, scales["datasets"], strict=True):
        for index in (np.array([0, 0]), np.array([3, 2])):
            world = grid.to_world(index + 0.5) - origin
            ours = np.abs(world[::-1])  # array order; OME knows no axis that runs backwards
            np.testing.assert_allclose(_centre_by_ome(dataset, index), ours, atol=1e-9)
    shifts = [d["coordinateTransformations"][1]["translation"] for d in scales["datasets"][1:]]
    assert shifts == [[0.0, 5.0, 5.0], [0.0, 15.0, 15.0]]


@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        (("c", "y", "x"), (3, 600, 600)),
        (("z", "y", "x"), (30, 200, 200)),
        (("t", "z", "y", "x"), (2, 30, 200, 200)),
        (("t", "c", "z", "y", "x"), (2, 2, 3, 200, 200)),
    ],
)
def test_the_models_accept_every_kind_of_image(axes: tuple[str, ...], shape: tuple[int, ...]) -> None:
    document = _document(np.zeros(shape, "uint8"), axes=axes)
    assert document["version"] == "0.5"
    model = Multiscale.model_validate(document["multiscales"][0])
    assert [axis.name for axis in model.axes] == list(axes)
    assert [d.path for d in model.datasets] == [f"{k}/image" for k in range(len(model.datasets))]


def test_a_volume_is_halved_where_it_is_halved() -> None:
    info = describe(np.zeros((30, 300, 300), "int16"), axes=("z", "y", "x"))
    levels = plan_pyramid(info).levels
    (scales,) = multiscales(info, [level.grid for level in levels])["multiscales"]
    for level, dataset in zip(levels, scales["datasets"], strict=True):
        scale, *shift = dataset["coordinateTransformations"]
        assert tuple(scale["scale"]) == level.grid.spacing
        expected = [(s - f) / 2 for s, f in zip(level.grid.spacing, info.grid.spacing, strict=True)]
        assert shift == ([{"type": "translation", "translation": expected}] if any(expected) else [])


@pytest.mark.parametrize(
    ("frame", "unit", "scale"),
    [
        (GeoFrame("EPSG:32633"), "meter", 10.0),
        (GeoFrame("EPSG:4326"), None, 10.0),
        (GeoFrame("EPSG:2263"), None, 10.0),  # US survey feet are not OME's foot
        (GeoFrame("EPSG:8035"), None, 10.0),
        (PixelFrame("scene"), None, 1.0),
        (PixelFrame("scene", (0.2, 0.1)), "millimeter", None),
    ],
)
def test_units_are_told_only_where_they_are_lengths(frame: Any, unit: str | None, scale: float | None) -> None:
    array = np.zeros((1, 300, 300), "uint8")
    grid = Grid.pixels((300, 300), "scene", spacing=frame.spacing) if isinstance(frame, PixelFrame) else None
    (scales,) = _document(array, **({"grid": grid} if grid else {"frame": frame}))["multiscales"]
    y, x = scales["axes"][1:]
    assert y.get("unit") == x.get("unit") == unit
    step = scales["datasets"][0]["coordinateTransformations"][0]["scale"]
    assert step == ([1.0, 0.1, 0.2] if scale is None else [1.0, scale, scale])


def test_channels_have_colours_and_windows() -> None:
    array = np.zeros((4, 9, 9), "uint8")
    bands = tuple(Band(name=n, interpretation=n) for n in ("blue", "green", "red", "nir"))
    channels = _document(array, bands=bands, window=((0.0, 9.0),) * 4)["omero"]["channels"]
    assert [c["color"] for c in channels] == ["0000FF", "00FF00", "FF0000", "FF0000"]
    assert [c["active"] for c in channels] == [True, True, True, False]
    assert channels[0]["window"] == {"min": 0.0, "max": 9.0, "start": 0.0, "end": 9.0}
    one = _document(array[:1], window=((0.0, 9.0),))["omero"]["channels"]
    assert (one[0]["color"], one[0]["label"]) == ("FFFFFF", "b1")


def test_labels_and_unknown_windows_have_no_rendering() -> None:
    array = np.zeros((1, 9, 9), "uint8")
    assert "omero" not in _document(array)
    labels = _document(array, role="labels", window=((0.0, 9.0),))
    assert "omero" not in labels
    assert labels["multiscales"][0]["type"] == "mode"


def test_a_rotated_image_keeps_its_steps() -> None:
    grid = Grid.from_transform((3, 4, 0, 4, -3, 0), (300, 300), GeoFrame("EPSG:32633"))
    info = ImageInfo(
        id="a", grid=grid, axes=("c", "y", "x"), shape=(1, 300, 300), dtype="uint8", bands=(Band(name="b"),)
    )
    (scales,) = multiscales(info, [grid])["multiscales"]
    assert scales["datasets"][0]["coordinateTransformations"] == [{"type": "scale", "scale": [1.0, 5.0, 5.0]}]
