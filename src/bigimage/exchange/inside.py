"""Files that reach beyond their image, as those of a whole city do: what lies on it, where the user asks for that."""

from collections.abc import Iterable, Iterator, Mapping

from bigimage.errors import InputError
from bigimage.formats.batches import batches
from bigimage.formats.door import Options, Report
from bigimage.geometry.grid import Grid
from bigimage.model.annotation import Annotation
from bigimage.model.validate import validate_all

OPTION: Mapping[str, str] = {
    "outside": "drop to leave out what lies wholly outside the image; a file that has any is refused by default"
}


def drops_outside(options: Options) -> bool:
    """Whether what lies outside is to be left out. Raises InputError."""
    chosen = options.get("outside", "refuse")
    if chosen not in ("refuse", "drop"):
        raise InputError(f"outside={chosen!r} is neither refuse nor drop")
    return chosen == "drop"


def inside(annotations: Iterable[Annotation], grid: Grid, report: Report) -> Iterator[Annotation]:
    """Annotations of which some part lies on an image of a grid; the others are told."""
    for part in batches(annotations):
        problems = validate_all(part, grid=grid)
        away = {k for k, problem in problems if (problem.kind, problem.place) == ("outside", "geometry")}
        for k, annotation in enumerate(part):
            if k in away:
                report.lose("dropped", "outside", "it lies outside the image", annotation.id)
            else:
                yield annotation
