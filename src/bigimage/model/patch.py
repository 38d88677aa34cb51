"""Pixels that travel, together with the grid they lie on."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bigimage.errors import InputError
from bigimage.geometry.grid import Grid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Patch:
    """An array with its grid.

    Raises
    ------
    InputError
        When the trailing axes of the array, or those of `valid`, are not the grid's shape.
    """

    array: "NDArray[np.generic]"
    """Spatial axes last, bands or channels before them: (c, y, x) or (c, z, y, x)."""
    grid: Grid
    valid: "NDArray[np.bool_] | None" = None
    """True where pixels are valid, over the spatial axes; None when all are."""

    def __post_init__(self) -> None:
        if self.array.shape[-self.grid.ndim :] != self.grid.shape:
            raise InputError(f"array of shape {self.array.shape} does not fit a grid of shape {self.grid.shape}")
        if self.valid is not None and self.valid.shape != self.grid.shape:
            raise InputError(f"validity of shape {self.valid.shape} does not fit a grid of shape {self.grid.shape}")
