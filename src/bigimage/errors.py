"""The errors of bigimage: each says who is at fault and stays catchable as a builtin."""

from pathlib import Path


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


class Undecodable(DataError):
    """Compressed pixels of single frames are damaged; the rest can be read without them.

    Parameters
    ----------
    message
        What is wrong, where, and what to do.
    frames
        File, number of the frame in it counted from 0, and the reason, of each damaged frame that is known.
    """

    def __init__(self, message: str, frames: tuple[tuple[Path, int, str], ...] = ()) -> None:
        super().__init__(message)
        self.frames = frames


class PartlyDone(DataError):
    """Some of several images were made, others could not be; `problems` tells why.

    Parameters
    ----------
    message
        What is missing.
    problems
        One for each image that could not be made.
    done
        Ids of the images that were made.
    """

    def __init__(self, message: str, problems: tuple[str, ...] = (), done: tuple[str, ...] = ()) -> None:
        super().__init__(message, problems)
        self.done = done


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
