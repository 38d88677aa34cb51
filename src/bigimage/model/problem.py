"""Problems: everything that is wrong with something, each with its kind and place."""

from collections.abc import Sequence
from dataclasses import dataclass

from bigimage.errors import DataError


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Kinds: `type` (not what the format asks for), `missing`, `unknown`, `value`, `dimension` (2-D where 3-D is due, or
    the reverse), `coordinate` (not finite), `empty`, `ring` (too short or not closed), `self-intersection`,
    `topology` (rings that nest or touch wrongly), `zero-area`, `not-planar`, `outside`, `frame`, `grid`, `image`,
    `label`, `shape`, `attribute`, `duplicate`, `circle`.
    """

    kind: str
    place: str
    """Where, as a path such as `geometry/coordinates/0/3`; empty for the whole."""
    message: str
    """What is wrong, and what would be right."""

    def __str__(self) -> str:
        """`place: message`."""
        return f"{self.place}: {self.message}" if self.place else self.message

    def below(self, place: str) -> "Problem":
        """The same problem seen from further out."""
        return Problem(self.kind, f"{place}/{self.place}" if self.place else place, self.message)


class Invalid(DataError):
    """Something handed in is wrong; `details` holds every problem."""

    def __init__(self, message: str, details: Sequence[Problem]) -> None:
        super().__init__(message, _by_message(details))
        self.problems = tuple(str(problem) for problem in details)
        self.details = tuple(details)


def _by_message(details: Sequence[Problem]) -> tuple[str, ...]:
    """Problems as texts; those that say the same are one, with all their places."""
    same: dict[str, list[Problem]] = {}
    for problem in details:
        same.setdefault(problem.message, []).append(problem)
    texts: list[str] = []
    for message, found in same.items():
        places = [problem.place for problem in found if problem.place]
        texts.append(f"{message} ({', '.join(places)})" if len(places) > 1 else str(found[0]))
    return tuple(texts)


def shown(value: object) -> str:
    """Text of a value that came from outside, short enough for a message and safe at any nesting."""
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:57] + "…")
    return repr(value) if isinstance(value, (int, float)) or value is None else f"a {type(value).__name__}"


def require_none(what: str, problems: Sequence[Problem]) -> None:
    """Raise Invalid when there are problems."""
    if problems:
        raise Invalid(f"{what} is refused", problems)
