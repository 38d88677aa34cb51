"""Validation of tables: the same problems as those of their rows, found for all rows at once.

Rows in which anything might be wrong are found by columns, and only those are looked at one by one: a sound row costs
hardly more than the test of its rings.
"""

from collections.abc import Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from bigimage.geometry.grid import Grid
from bigimage.model.annotation import ORIGIN
from bigimage.model.labels import Label, Schema, attribute_problems
from bigimage.model.problem import Problem
from bigimage.model.table import KIND_OF_TYPE, Table
from bigimage.model.validate import validate_all

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LINES, _AREAS = [1, 5], [3, 6]


def validate_table(
    table: Table, *, schema: Schema | None = None, grid: Grid | None = None, times: int | None = None
) -> list[tuple[int, Problem]]:
    """Everything that is wrong with the rows of a table, as `validate_all` finds it: (row, problem) in that order."""
    suspect = _in_geometry(table) | _in_values(table, times) | _in_labels(table, schema)
    if grid is not None:
        # another frame is a problem of every row
        suspect |= _near_edges(table, grid) if table.frame == grid.frame else True
    rows = np.flatnonzero(suspect).tolist()
    found = validate_all([table.annotation(k) for k in rows], schema=schema, grid=grid, times=times)
    return [(rows[k], problem) for k, problem in found]


def _in_geometry(table: Table) -> "NDArray[np.bool_]":
    """Rows whose geometry is empty, of three dimensions, not finite, invalid, or without length or area."""
    geometries, types = table.geometries, table.types
    points, owner = shapely.get_coordinates(geometries, return_index=True)
    suspect = shapely.is_empty(geometries) | shapely.has_z(geometries)
    suspect[owner[~np.isfinite(points).all(axis=1)]] = True
    lines, areas = np.isin(types, _LINES) & ~suspect, np.isin(types, _AREAS) & ~suspect
    suspect[lines] = shapely.length(geometries[lines]) == 0
    suspect[areas] = ~shapely.is_valid(geometries[areas]) | (shapely.area(geometries[areas]) == 0)
    return suspect


def _in_values(table: Table, times: int | None) -> "NDArray[np.bool_]":
    """Rows whose origin, score, time, instance or attributes may be wrong by themselves."""
    wrong = np.array([not ORIGIN.fullmatch(name) for name in table.origins.names], dtype=bool)
    suspect = wrong[table.origins.places] if len(wrong) else np.zeros(len(table), dtype=bool)
    if table.scores is not None:
        suspect |= ~(np.isnan(table.scores) | ((table.scores >= 0) & (table.scores <= 1)))
    if table.times is not None:
        suspect |= (table.times < -1) | (table.times >= (np.inf if times is None else times))
    if table.instances is not None:
        suspect |= np.array([v is not None and not 1 <= len(v) <= 200 for v in table.instances], dtype=bool)
    if table.attributes is not None:
        suspect |= np.array([bool(v) and not _is_plain(v) for v in table.attributes], dtype=bool)
    return suspect


def _is_plain(attributes: Mapping[str, Any]) -> bool:
    """Whether attributes are texts, whole and finite numbers and the like, which JSON holds without a closer look."""
    return all(
        type(name) is str and (type(v) in (str, int, bool) or (type(v) is float and isfinite(v)))
        for name, v in attributes.items()
    )


def _in_labels(table: Table, schema: Schema | None) -> "NDArray[np.bool_]":
    """Rows whose label is unknown or no name, does not take their shape, or is not fitted by their attributes."""
    names = table.labels.names
    labels = [None if schema is None else schema.find(name) for name in names]
    kinds = np.zeros((len(names), max(KIND_OF_TYPE) + 1), dtype=bool)
    for k, (name, label) in enumerate(zip(names, labels, strict=True)):
        unknown = not name.strip() or len(name) > 200 or (schema is not None and label is None)
        taken = None if label is None or not label.shapes else label.shapes
        for number, kind in KIND_OF_TYPE.items():
            kinds[k, number] = unknown or (taken is not None and kind not in taken)
    if not len(table):
        return np.zeros(0, dtype=bool)
    suspect = kinds[table.labels.places, table.types]
    if schema is not None:
        suspect |= _in_attributes(table, labels)
    return suspect


def _in_attributes(table: Table, labels: list[Label | None]) -> "NDArray[np.bool_]":
    """Rows whose attributes do not fit their labels."""
    if table.attributes is None:
        wrong = np.array([label is not None and bool(attribute_problems(label, {})) for label in labels], dtype=bool)
        return wrong[table.labels.places]
    suspect = np.zeros(len(table), dtype=bool)
    for k, (place, attributes) in enumerate(zip(table.labels.places.tolist(), table.attributes, strict=True)):
        label = labels[place]
        if label is not None and (label.attributes or attributes):
            suspect[k] = bool(attribute_problems(label, attributes))
    return suspect


def _near_edges(table: Table, grid: Grid) -> "NDArray[np.bool_]":
    """Rows whose boxes are not wholly within the image; these may be outside."""
    bounds = shapely.bounds(table.geometries)
    corners = np.concatenate([bounds[:, [i, j]] for i in (0, 2) for j in (1, 3)])
    with np.errstate(invalid="ignore"):
        index = grid.to_index(corners).reshape(4, -1, grid.ndim)
        within = (index >= 0) & (index <= np.asarray(grid.shape))
    return ~np.all(within, axis=(0, 2))
