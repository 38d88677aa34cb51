"""Annotations as columns, so that a million of them need not become objects on their way into a table."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PlainColumns:
    """Annotations whose shapes are plain flat geometries: points, lines and polygons. All columns are equally long."""

    keys: list[bytes]
    """16 bytes of each id."""
    labels: list[str]
    origins: list[str]
    scores: list[float | None]
    times: list[int | None]
    outlines: list[bytes]
    """Well-known binary, little endian, of the geometries."""
    rest: list[str | None]
    """JSON with `attributes`, `instance` and `relations`, as far as there are any."""

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, part: slice) -> "PlainColumns":
        """Some of the rows."""
        columns = (self.keys, self.labels, self.origins, self.scores, self.times, self.outlines, self.rest)
        return PlainColumns(*(column[part] for column in columns))  # pyright: ignore[reportArgumentType]
