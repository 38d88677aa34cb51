"""Where a raster lies: what its file says, what the caller adds, and what is missing and stays so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bigimage.errors import BigImageError, DataError, FrameMismatch, InputError
from bigimage.geometry.frame import Frame, GeoFrame, require_same
from bigimage.geometry.grid import Grid
from bigimage.model.image import Verdict
from bigimage.sources.door import OpenOptions

Transform = tuple[float, float, float, float, float, float]
LARGEST = 1e100
"""Coefficients beyond this are damage; their squares would overflow."""
TOLERANCE = 1e-6
"""Pixels by which a corner given by the caller may differ from the file's own."""


@dataclass(frozen=True, slots=True)
class GroundControl:
    """Ground control points of a file."""

    points: tuple[tuple[float, float, float, float, float], ...]
    """(column, row, x, y, z) of each, columns and rows corner based."""
    crs: str | None
    """CRS of x, y and z."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Georeference:
    """What a file says about its place."""

    transform: Transform | None = None
    """Six coefficients in rasterio's order; None when the file has none."""
    crs: str | None = None
    """CRS in any notation; None when the file has none."""
    crs_problem: str | None = None
    """Why the CRS of the file could not be read."""
    gcps: GroundControl | None = None
    has_rpcs: bool = False


@dataclass(frozen=True, slots=True)
class Placement:
    """The grid of an image, with what its user should know and what the caller gave."""

    grid: Grid
    verdicts: tuple[Verdict, ...] = ()
    given: Mapping[str, Any] = field(default_factory=dict)
    """Georeference that the caller gave, for the provenance. JSON values."""


def place(shape: tuple[int, int], image: str, *, name: str, found: Georeference, options: OpenOptions) -> Placement:
    """Grid of a raster of `shape` (rows, columns), from its file and the caller's options.

    Raises InputError when the caller contradicts the file or gives half a georeference, DataError when the affine of
    the file is singular.
    """
    verdicts: list[Verdict] = []
    own = _frame_of(found, verdicts)
    given_frame = GeoFrame.of(options.crs) if options.crs else None
    given_transform = _given_transform(shape, options, given_frame or own, name=name)
    _refuse_contradiction(shape, found, own, (given_frame, given_transform), name=name)
    transform, frame = found.transform or given_transform, own or given_frame
    given = _given(found, options, verdicts, has_crs=own is not None)
    if transform is None and options.fit_gcps:
        transform, frame = _fit(found, given_frame, verdicts, name=name)
        given["fit_gcps"] = True
    if options.crs and transform is None:
        raise InputError(f"{name} has no transform, so a CRS alone does not place it; give --bounds or --affine too")
    if given_transform is not None and frame is None:
        raise InputError(f"{name} has no CRS; give --crs together with --bounds or --affine")
    if transform is None or frame is None:
        _report_missing(found, transform, frame, verdicts)
        _check_singular(found.transform, shape, image, name=name)
        return Placement(Grid.pixels(shape, image), tuple(verdicts), given)
    return Placement(_grid(transform, shape, frame, name=name), tuple(verdicts), given)


def _frame_of(found: Georeference, verdicts: list[Verdict]) -> GeoFrame | None:
    """Frame that the file names; a CRS that cannot be read becomes a verdict."""
    problem = found.crs_problem
    if found.crs is not None:
        try:
            frame = GeoFrame.of(found.crs)
        except InputError as error:
            problem = str(error)
        else:
            if frame.proj.is_engineering:
                text = f"The CRS '{frame}' is local: the image has no place on the Earth, and no web-mercator tiles."
                verdicts.append(Verdict(code="LOCAL_CRS", message=text))
            return frame
    if problem is not None:
        text = f"The file names a CRS that cannot be read ({problem}): annotations are in pixels unless --crs gives it."
        verdicts.append(Verdict(code="CRS_UNREADABLE", message=text))
    return None


def _given_transform(
    shape: tuple[int, int], options: OpenOptions, frame: GeoFrame | None, *, name: str
) -> Transform | None:
    """Transform that the caller gave, as an affine or as bounds."""
    if options.affine is not None and options.bounds is not None:
        raise InputError("--affine and --bounds say the same thing; give one of them")
    if options.affine is not None:
        transform = options.affine
    elif options.bounds is not None:
        transform = _of_bounds(options.bounds, shape, frame)
    else:
        return None
    try:
        Grid.from_transform(transform, shape, frame or Grid.pixels(shape, "x").frame)
    except DataError as error:
        raise InputError(f"the georeference given for {name} is unusable: {error}") from error
    return transform


def _of_bounds(bounds: Sequence[float], shape: tuple[int, int], frame: GeoFrame | None) -> Transform:
    """Transform of a north-up image with these outer edges."""
    west, south, east, north = (float(v) for v in bounds)
    if not np.isfinite([west, south, east, north]).all():
        raise InputError(f"bounds {tuple(bounds)} are not finite")
    if west > east and frame is not None and frame.is_geographic:
        east += 360.0  # across the antimeridian, as in RFC 7946
    if not (west < east and south < north):
        raise InputError(f"bounds {tuple(bounds)} are not west, south, east, north with west < east and south < north")
    rows, columns = shape
    return ((east - west) / columns, 0.0, west, 0.0, -(north - south) / rows, north)


def _refuse_contradiction(
    shape: tuple[int, int],
    found: Georeference,
    frame: GeoFrame | None,
    given: tuple[GeoFrame | None, Transform | None],
    *,
    name: str,
) -> None:
    """Raise InputError when the caller gives something else than the file says."""
    given_frame, given_transform = given
    if frame is not None and given_frame is not None:
        try:
            require_same(frame, given_frame)
        except FrameMismatch:
            raise InputError(f"{name} has its own CRS, {frame}; it is not replaced by {given_frame}") from None
    if found.transform is None or given_transform is None:
        return
    own = _grid(found.transform, shape, Grid.pixels(shape, "x").frame, name=name)
    other = Grid.from_transform(given_transform, shape, own.frame)
    if np.abs(own.to_index(other.corners()) - own.to_index(own.corners())).max() > TOLERANCE:
        raise InputError(f"{name} has its own transform, {found.transform}; it is not replaced by {given_transform}")


def _given(found: Georeference, options: OpenOptions, verdicts: list[Verdict], *, has_crs: bool) -> dict[str, Any]:
    """What the caller added to the file, noted in a verdict too."""
    given: dict[str, Any] = {}
    if options.crs and not has_crs:
        given["crs"] = options.crs
    if found.transform is None and options.bounds is not None:
        given["bounds"] = list(options.bounds)
    if found.transform is None and options.affine is not None:
        given["affine"] = list(options.affine)
    if given:
        text = f"Its {' and '.join(given)} were given by the user; the file does not say."
        verdicts.append(Verdict(code="USER_GEOREFERENCE", message=text))
    return given


def _report_missing(
    found: Georeference, transform: Transform | None, frame: Frame | None, verdicts: list[Verdict]
) -> None:
    """Say which half of the georeference is missing, and what there is instead."""
    if found.gcps is not None:
        text = (
            f"The file is placed by {len(found.gcps.points)} ground control points only, which are kept but not used: "
            "annotations are in pixels. An affine can be fitted to them on request."
        )
        verdicts.append(Verdict(code="GCPS_ONLY", message=text))
    elif found.has_rpcs:
        text = "The file is placed by rational polynomials only, which are kept, not used: annotations are in pixels."
        verdicts.append(Verdict(code="RPC_ONLY", message=text))
    elif transform is None and frame is not None:
        text = f"The file names the CRS {frame} but no transform: annotations are in pixels. Give --bounds or --affine."
        verdicts.append(Verdict(code="NO_TRANSFORM", message=text))
    elif any(verdict.code == "CRS_UNREADABLE" for verdict in verdicts):
        return
    elif transform is not None:
        text = "The file has a transform but no CRS: annotations are in pixels. Give the CRS with --crs."
        verdicts.append(Verdict(code="NO_CRS", message=text))
    else:
        text = "The file has no georeference: annotations are in pixels. Give one by --crs with --bounds or --affine."
        verdicts.append(Verdict(code="NO_CRS", message=text))


def _check_singular(transform: Transform | None, shape: tuple[int, int], image: str, *, name: str) -> None:
    """Raise DataError for a singular affine, also where it is not used for want of a CRS."""
    if transform is not None:
        _grid(transform, shape, Grid.pixels(shape, image).frame, name=name)


def _grid(transform: Transform, shape: tuple[int, int], frame: Frame, *, name: str) -> Grid:
    """Grid, with the file's name in the error."""
    if any(abs(v) > LARGEST for v in transform):
        raise DataError(f"{name}: its affine {transform} is no place anywhere")
    try:
        return Grid.from_transform(transform, shape, frame)
    except BigImageError as error:
        raise DataError(f"{name}: {error}") from error


def _fit(
    found: Georeference, given_frame: GeoFrame | None, verdicts: list[Verdict], *, name: str
) -> tuple[Transform, GeoFrame]:
    """Affine by least squares through the ground control points; the residual stands in a verdict."""
    control = found.gcps
    if control is None:
        raise InputError(f"{name} has no ground control points to fit an affine to")
    if control.crs is None and given_frame is None:
        raise InputError(f"the ground control points of {name} have no CRS; give it with --crs")
    frame = GeoFrame.of(control.crs) if control.crs is not None else given_frame
    if frame is None or (given_frame is not None and frame != given_frame):
        raise InputError(f"the ground control points of {name} are in {frame}, not in {given_frame}")
    points = np.asarray(control.points, dtype=np.float64)
    if frame.is_geographic and np.ptp(points[:, 2]) > 180.0:
        points[:, 2] %= 360.0  # across the antimeridian
    transform, residual = fit_affine(points, name=name)
    pixel = float(np.sqrt(abs(transform[0] * transform[4] - transform[1] * transform[3])))
    text = (
        f"Placed by an affine fitted to {len(points)} ground control points, which loses what they say beyond it: "
        f"residual {residual[0]:.6g} (root mean square) and {residual[1]:.6g} (largest) in units of {frame}, "
        f"{residual[0] / pixel:.3g} and {residual[1] / pixel:.3g} pixels."
    )
    verdicts.append(Verdict(code="GCPS_FITTED", message=text))
    return transform, frame


def fit_affine(points: np.ndarray, *, name: str) -> tuple[Transform, tuple[float, float]]:
    """Least-squares affine through points (n, 5) of (column, row, x, y, z), with its residuals: mean square, largest.

    Raises DataError when the points do not span a plane.
    """
    index = np.column_stack([points[:, :2], np.ones(len(points))])
    centre = points[:, 2:4].mean(axis=0)
    solution, _, rank, _ = np.linalg.lstsq(index, points[:, 2:4] - centre, rcond=None)
    if rank < 3:
        raise DataError(f"{name}: its {len(points)} ground control points lie on a line; no affine fits them")
    distance = np.linalg.norm(index @ solution + centre - points[:, 2:4], axis=1)
    (a, d), (b, e), (c, f) = (tuple(map(float, row)) for row in solution)
    transform = (a, b, c + float(centre[0]), d, e, f + float(centre[1]))
    return transform, (float(np.sqrt((distance**2).mean())), float(distance.max()))
