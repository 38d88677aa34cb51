"""Pyramids that others wrote, read in place: OME-Zarr 0.4 and 0.5, and GeoZarr in the forms seen in the wild.

Pixels come through zarr-python, so any codec it knows is read. What a foreign store does not say, a place in the world
or an orientation, is reported by a verdict and not invented.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimage.errors import BackendError, DataError, InputError, NotFound, OutOfBounds, Unsupported
from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import Frame, GeoFrame, PatientFrame, PixelFrame
from bigimage.geometry.grid import Affine, Grid
from bigimage.model.image import Band, ImageInfo, Verdict, slug
from bigimage.pyramid.array import ArraySpec
from bigimage.pyramid.location import METADATA, NAMESPACE, read_json
from bigimage.pyramid.pyramid import Level, Pyramid, version_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

MILLIMETRES = {"millimeter": 1.0, "micrometer": 1e-3, "nanometer": 1e-6, "centimeter": 10.0, "meter": 1000.0}
AXES = ("t", "c", "z", "y", "x")


@dataclass(frozen=True)
class ZarrBands:
    """One level's bands: a single array with all its axes, or several 2-D arrays stacked along a new first axis."""

    paths: tuple[Path, ...]
    dims: tuple[str, ...]

    @cached_property
    def _arrays(self) -> list[Any]:
        import zarr

        return [zarr.open_array(str(path), mode="r") for path in self.paths]

    @property
    def folder(self) -> Path:
        """Where the (first) array lies."""
        return self.paths[0]

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Shape of the (first) array as it is stored."""
        return tuple(self._arrays[0].shape)

    @property
    def spec(self) -> ArraySpec:
        """Shape, axes, chunks and type; the codec named is not the array's own."""
        return self._spec

    @cached_property
    def _spec(self) -> ArraySpec:
        first = self._arrays[0]
        if len(self.dims) - len(first.shape) not in (0, 1):
            raise DataError(f"{self.folder} has {len(first.shape)} axes where {len(self.dims)} are named")
        lead = (len(self.paths),) if len(self.dims) > len(first.shape) else ()
        chunks = (*(1 for _ in lead), *first.chunks)
        return ArraySpec(self.dims, (*lead, *first.shape), chunks, chunks, first.dtype.name, 0, "zstd")

    def read(self, box: IndexBox) -> "NDArray[Any]":
        """Elements of a box over all axes. Raises OutOfBounds or DataError."""
        if not IndexBox.of_shape(self.spec.shape).contains(box):
            raise OutOfBounds(f"box {box.start}…{box.stop} does not lie within shape {self.spec.shape}")
        try:
            if len(self.dims) == len(self._arrays[0].shape):
                return np.asarray(self._arrays[0][box.slices])
            planes = self._arrays[box.start[0] : box.stop[0]]
            return np.stack([np.asarray(plane[box.slices[1:]]) for plane in planes])
        except (ValueError, RuntimeError) as error:
            raise DataError(f"{self.folder}: box {box.start}…{box.stop} cannot be decoded: {error}") from error
        except OSError as error:
            raise BackendError(f"cannot read {self.folder}: {error}") from error

    def __reduce__(self) -> tuple[type["ZarrBands"], tuple[tuple[Path, ...], tuple[str, ...]]]:
        """Travels to other processes without open arrays."""
        return type(self), (self.paths, self.dims)


def open_image(path: str | Path, *, image: str | None = None, variable: str | None = None) -> Pyramid:
    """Open a pyramid in place: one that bigimage wrote, OME-Zarr 0.4 or 0.5, or GeoZarr.

    Parameters
    ----------
    path
        Folder of the root group.
    image
        Id to give it; default the slug of the folder's name.
    variable
        Array to read where levels are groups of several; default `image`, else all 2-D ones as bands.

    Raises
    ------
    NotFound
        When there is no zarr group.
    Unsupported
        When the group is of another kind.
    DataError
        When its metadata contradict each other.
    """
    root = Path(path)
    attributes = _attributes(root)
    if NAMESPACE in attributes:
        return Pyramid.open(root)
    name = image if image is not None else store_id(root)
    try:
        if "layout" in _object(attributes.get("multiscales")):
            return _geozarr(root, attributes, name, variable)
        scales = _object(attributes.get("ome")).get("multiscales", attributes.get("multiscales"))
        if isinstance(scales, list) and scales:
            return _ome(root, attributes, scales[0], name)
        if "spatial:transform" in attributes or "spatial:dimensions" in attributes:
            return _geozarr(root, {**attributes, "multiscales": {"layout": [{"asset": "."}]}}, name, variable)
    except (KeyError, TypeError, IndexError) as error:
        raise DataError(f"{root}: the multiscale metadata are incomplete: {error!r}") from error
    raise Unsupported(f"{root} is a zarr group, but neither OME-Zarr 0.4 or 0.5 nor GeoZarr")


def store_id(root: Path) -> str:
    """Image id made from the name of a store's folder. Raises InputError when none can be made."""
    return slug(root.name.removesuffix(".zarr").removesuffix(".ome"))


def _object(value: Any) -> Mapping[str, Any]:
    """The value where it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def _attributes(folder: Path) -> dict[str, Any]:
    """Attributes of a zarr v3 or v2 node. Raises NotFound."""
    if (folder / METADATA).exists():
        return dict(read_json(folder / METADATA).get("attributes", {}))
    if (folder / ".zattrs").exists():
        return read_json(folder / ".zattrs")
    if (folder / ".zgroup").exists() or (folder / ".zarray").exists():
        return {}
    raise NotFound(f"{folder} holds no zarr group")


def _inside(root: Path, asset: str) -> Path:
    """Folder of an asset. Raises DataError when it points out of the store."""
    found = (root / asset).resolve()
    if not found.is_relative_to(root.resolve()):
        raise DataError(f"{root}: asset {asset!r} lies outside the store")
    return found


def _is_array(folder: Path) -> bool:
    """Whether a node is an array."""
    if (folder / METADATA).exists():
        return read_json(folder / METADATA).get("node_type") == "array"
    return (folder / ".zarray").exists()


def _ome(root: Path, attributes: Mapping[str, Any], scales: Mapping[str, Any], name: str) -> Pyramid:
    """An OME-Zarr image."""
    axes = [axis if isinstance(axis, str) else axis["name"] for axis in scales["axes"]]
    if tuple(axes) != tuple(a for a in AXES if a in axes) or axes[-2:] != ["y", "x"]:
        raise Unsupported(f"{root}: axes {axes} are not in the order {AXES}")
    units = {axis["name"]: axis.get("unit") for axis in scales["axes"] if isinstance(axis, dict)}
    ndim = 3 if "z" in axes else 2
    frame: Frame = PatientFrame(f"image:{name}") if ndim == 3 else PixelFrame(name, _spacing(scales, units))
    shared = scales.get("coordinateTransformations", ())
    levels: list[Level] = []
    for dataset in scales["datasets"]:
        array = ZarrBands((_inside(root, dataset["path"]),), tuple(axes))
        scale, shift = _transform([*dataset["coordinateTransformations"], *shared], len(axes))
        shape = array.spec.shape[-ndim:]
        if ndim == 3:
            factor = [MILLIMETRES.get(units.get(a) or "", 1.0) for a in ("z", "y", "x")]
            step = [s * f for s, f in zip(scale[-3:], factor, strict=True)]
            origin = [t * f for t, f in zip(shift[-3:], factor, strict=True)]
            grid = Grid(shape, _axis_affine(step, [o - s / 2 for o, s in zip(origin, step, strict=True)]), frame)
        else:
            first = levels[0].grid.shape if levels else shape
            # real factors, as the scales tell them: a size may be rounded, a scale is not
            base, _ = _transform([*scales["datasets"][0]["coordinateTransformations"], *shared], len(axes))
            step = [s / b for s, b in zip(scale[-2:], base[-2:], strict=True)]
            grid = Grid(shape, _axis_affine(step, [0.0, 0.0]), frame)
            if any(abs(n * s - f) > 2 * s for n, s, f in zip(shape, step, first, strict=True)):
                raise DataError(f"{root}: level {dataset['path']} of shape {shape} does not cover level 0 ({first})")
        levels.append(Level(grid, array, None))
    labels = "image-label" in attributes or "image-label" in _object(attributes.get("ome"))
    code = "NO_ORIENTATION" if ndim == 3 else "NO_CRS"
    what = "x, y, z are taken to run left, posterior, superior" if ndim == 3 else "coordinates are pixels"
    verdict = Verdict(code=code, message=f"OME-Zarr does not say where the image lies: {what}.")
    return _pyramid(root, attributes, name, levels, [verdict], labels=labels)


def _spacing(scales: Mapping[str, Any], units: Mapping[str, Any]) -> tuple[float, float] | None:
    """Millimetres per pixel along (x, y) of a 2-D image, where its units are lengths."""
    if units.get("x") not in MILLIMETRES or units.get("y") not in MILLIMETRES:
        return None
    count = len(scales["axes"])
    scale, _ = _transform(scales["datasets"][0]["coordinateTransformations"], count)
    return scale[-1] * MILLIMETRES[units["x"]], scale[-2] * MILLIMETRES[units["y"]]


def _transform(transforms: Sequence[Mapping[str, Any]], count: int) -> tuple[list[float], list[float]]:
    """Scale and translation of a chain of OME transformations."""
    scale, shift = [1.0] * count, [0.0] * count
    for step in transforms:
        if step["type"] == "scale":
            scale = [a * float(b) for a, b in zip(scale, step["scale"], strict=True)]
            shift = [a * float(b) for a, b in zip(shift, step["scale"], strict=True)]
        elif step["type"] == "translation":
            shift = [a + float(b) for a, b in zip(shift, step["translation"], strict=True)]
        elif step["type"] != "identity":
            raise Unsupported(f"coordinate transformation {step['type']!r} of OME-Zarr is not read")
    return scale, shift


def _axis_affine(step: Sequence[float], corner: Sequence[float]) -> Affine:
    """Affine of axes that run along the frame's axes: index in array order → world in reverse order."""
    ndim = len(step)
    rows: list[tuple[float, ...]] = []
    for axis in reversed(range(ndim)):
        rows.append((*(float(step[axis]) if i == axis else 0.0 for i in range(ndim)), float(corner[axis])))
    return tuple(rows)


def _geozarr(root: Path, attributes: Mapping[str, Any], name: str, variable: str | None) -> Pyramid:
    """A GeoZarr raster: levels from `multiscales.layout`, place from `spatial:` and `proj:` wherever they stand."""
    levels: list[Level] = []
    bands: list[str] = []
    frame: Frame | None = None
    for item in attributes["multiscales"]["layout"]:
        asset = _inside(root, item.get("asset", item.get("group")))
        place = {**attributes, **_attributes(asset), **item}
        if frame is None:
            frame = _crs_frame(place, name)
        array, names = _bands(asset, variable)
        bands = bands or names
        place = {**_attributes(array.folder), **place}
        transform = place.get("spatial:transform", place.get("proj:transform"))
        if transform is None:
            raise DataError(f"{asset}: no spatial:transform, neither there nor above")
        shape = array.spec.shape[-2:]
        levels.append(Level(Grid.from_transform(transform, shape, frame), array, None))
    verdicts = []
    if isinstance(frame, PixelFrame):
        verdicts.append(Verdict(code="NO_CRS", message="The store names no CRS; coordinates are pixels."))
        levels = [replace(level, grid=replace(level.grid, frame=frame)) for level in levels]
    return _pyramid(root, attributes, name, levels, verdicts, bands=bands)


def _crs_frame(place: Mapping[str, Any], name: str) -> Frame:
    """Frame from `proj:code`, `proj:wkt2` or `proj:projjson`."""
    for key in ("proj:code", "proj:wkt2", "proj:projjson"):
        if place.get(key) is not None:
            value = place[key]
            return GeoFrame.of(value if isinstance(value, str) else _json_text(value))
    if place.get("proj:epsg") is not None:
        return GeoFrame.of(f"EPSG:{place['proj:epsg']}")
    return PixelFrame(name)


def _json_text(value: Any) -> str:
    """PROJJSON object as text."""
    import json

    return json.dumps(value)


def _bands(asset: Path, variable: str | None) -> tuple[ZarrBands, list[str]]:
    """The array or arrays of a level, as (c, y, x), and names of the bands they are."""
    if _is_array(asset):
        return _single(asset), []
    arrays = sorted(p for p in asset.iterdir() if p.is_dir() and _is_array(p))
    named = {p.name: p for p in arrays}
    if variable is not None:
        if variable not in named:
            raise InputError(f"{asset} has no array {variable!r}; there are {', '.join(named)}")
        return _single(named[variable]), []
    if "image" in named:
        return _single(named["image"]), []
    shapes = {p: ZarrBands((p,), ("y", "x")).stored_shape for p in arrays}
    planes = [p for p in arrays if len(shapes[p]) == 2]
    if planes:
        sizes = {shapes[p] for p in planes}
        if len(sizes) > 1:
            raise InputError(f"{asset} holds 2-D arrays of {len(sizes)} sizes; choose one with variable=")
        return ZarrBands(tuple(planes), ("c", "y", "x")), [p.name for p in planes]
    if len(arrays) == 1:
        return _single(arrays[0]), []
    raise InputError(f"{asset} holds {len(arrays)} arrays; choose one with variable= ({', '.join(named)})")


def _single(path: Path) -> ZarrBands:
    """One array, as (c, y, x). Raises Unsupported for arrays that are not 2-D rasters with bands first."""
    raster = ZarrBands((path,), ("c", "y", "x"))
    ndim = len(raster.stored_shape)
    if ndim not in (2, 3):
        raise Unsupported(f"{path} has {ndim} axes; GeoZarr rasters are read with (y, x) or (bands, y, x)")
    return raster


def _pyramid(
    root: Path,
    attributes: Mapping[str, Any],
    name: str,
    levels: Sequence[Level],
    verdicts: Sequence[Verdict],
    *,
    bands: Sequence[str] = (),
    labels: bool = False,
) -> Pyramid:
    """Assemble the pyramid of a foreign store."""
    spec = levels[0].image.spec
    kinds = {level.image.spec.dtype for level in levels}
    if len(kinds) > 1:
        raise DataError(f"{root}: levels are of different types {sorted(kinds)}")
    if np.dtype(spec.dtype).kind not in "iuf":
        raise Unsupported(f"{root}: pixels of type {spec.dtype} are not read")
    count = spec.shape[spec.dims.index("c")] if "c" in spec.dims else 1
    names = list(bands) if len(bands) == count else [f"band {i + 1}" for i in range(count)]
    limits = (0.0, 1.0) if spec.dtype.startswith("float") else tuple(map(float, _limits(spec.dtype)))
    info = ImageInfo(
        id=name,
        grid=levels[0].grid,
        axes=spec.dims,
        shape=spec.shape,
        dtype=spec.dtype,
        bands=tuple(Band(name=n) for n in names),
        role="labels" if labels else "image",
        window=((limits[0], limits[1]),) * count,
        verdicts=tuple(verdicts),
        provenance={"source": root.name, "driver": "zarr, in place"},
    )
    return Pyramid(root, info, tuple(levels), version_of(attributes))


def _limits(dtype: str) -> tuple[int, int]:
    """Smallest and largest value of an integer type."""
    limits = np.iinfo(dtype)
    return int(limits.min), int(limits.max)
