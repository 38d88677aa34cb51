"""The errors of bigimage: each says who is at fault and stays catchable as a builtin."""


class BigImageError(Exception):
    """Base of every error that bigimage raises on purpose."""


class InputError(BigImageError, ValueError):
    """The caller asked for something that makes no sense or is not allowed."""


class DataError(BigImageError, ValueError):
    """A file or a store holds something wrong.

    Parameters
    ----------
    message
        What is wrong, where, and what to do.
    problems
        Every problem found, not just the first; empty when `message` says it all.
    """

    def __init__(self, message: str, problems: tuple[str, ...] = ()) -> None:
        super().__init__(message if not problems else f"{message}: " + "; ".join(problems))
        self.problems = problems


class NotFound(BigImageError, LookupError):
    """What was named does not exist."""

    __str__ = Exception.__str__  # KeyError's repr-quoting has no place in a message


class OutOfBounds(BigImageError, IndexError):
    """An index or a box lies outside what it indexes."""


class FrameMismatch(BigImageError, ValueError):
    """Coordinates of two different frames were mixed."""


class Conflict(BigImageError):
    """Somebody else holds or has changed what was to be changed.

    Parameters
    ----------
    message
        Who or what stands in the way, and what to do.
    clashes
        One value for each thing in the way, with both sides of it; empty when `message` says it all.
    """

    def __init__(self, message: str, clashes: tuple[object, ...] = ()) -> None:
        super().__init__(message)
        self.clashes = clashes


class Unsupported(BigImageError, NotImplementedError):
    """Understood, but not handled here; the message says why or what to install."""


class BackendError(BigImageError, OSError):
    """A disk, a database or a remote store failed."""


class Cancelled(BigImageError):
    """The work was stopped on request; nothing half-made is visible."""
