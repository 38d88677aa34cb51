"""What the formats of drawing tools share: XML that is safe to read, points in pixels, annotations from parts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

import numpy as np
import shapely

from bigimage.errors import BackendError, DataError
from bigimage.formats.door import Context, Report
from bigimage.formats.vector.pixels import Pixels
from bigimage.model.annotation import Annotation
from bigimage.model.shape import Shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BLOCK = 1 << 16


def tag(name: str, /, **attributes: object) -> str:
    """Start of an XML element, attributes in their order; those that are None left out."""
    listed = "".join(f" {k}={quoteattr(_text(v))}" for k, v in attributes.items() if v is not None)
    return f"<{name}{listed}"


def _text(value: object) -> str:
    """A value as XML holds it; characters that XML cannot hold are left out."""
    text = repr(value) if isinstance(value, float) else str(value)
    return "".join(c for c in text if c in "\t\n\r" or (c >= " " and c not in "\ufffe\uffff"))


def xml_events(path: Path) -> Iterator[tuple[str, ElementTree.Element]]:
    """Starts and ends of elements as they are read. Raises DataError, also for entities, which can blow up memory."""
    parser = ElementTree.XMLPullParser(("start", "end"))
    try:
        with path.open("rb") as file:
            seen = b""
            while block := file.read(_BLOCK):
                if b"<!ENTITY" in seen[-16:] + block or b"<!DOCTYPE" in seen[-16:] + block:
                    raise DataError(f"{path.name} declares entities or a document type, which no annotations need")
                seen = block
                parser.feed(block)
                yield from parser.read_events()  # pyright: ignore[reportReturnType]
        parser.close()
        yield from parser.read_events()  # pyright: ignore[reportReturnType]
    except ElementTree.ParseError as error:
        raise DataError(f"{path.name} is not valid XML: {error}") from error
    except (ValueError, LookupError) as error:
        raise DataError(f"{path.name} cannot be decoded: {str(error)[:200]}") from error
    except OSError as error:
        raise BackendError(f"cannot read {path}: {error.strerror}") from error


def xml_head(path: Path) -> bytes:
    """First bytes of a file that begins like XML; empty for any other."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        head = file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")
    return head if head.startswith(b"<") else b""


def number(fields: Mapping[str, Any], name: str) -> float:
    """A finite number of a field. Raises ValueError that names it."""
    try:
        value = float(fields[name])
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{name} is no number") from None
    if not np.isfinite(value):
        raise ValueError(f"{name} is not finite")
    return value


def points(value: object, least: int) -> "NDArray[np.float64]":
    """Positions (n, 2) of a list of pairs. Raises ValueError."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError("points are pairs of numbers") from None
    if array.ndim != 2 or array.shape[1] != 2 or len(array) < least or not np.isfinite(array).all():
        raise ValueError(f"points are at least {least} pairs of finite numbers")
    return array


def parts_of(geometry: Any) -> list[Any]:
    """Parts of a geometry."""
    return list(shapely.get_parts(geometry))


@dataclass
class Maker:
    """Makes annotations of what a file holds, each with an id of its own or one made from its content."""

    context: Context
    report: Report
    format: str
    _seen: dict[bytes, int] = field(default_factory=dict[bytes, int])

    def make(
        self, label: str, shape: Shape, *, content: object, own: object = None, number: object = None, **fields: Any
    ) -> Annotation:
        """An annotation of a shape in pixels.

        `own` is what may be our id; `number` an id within the file; else the id comes from `content`.
        """
        image, frame = self.context.image, self.context.grid.frame
        found = Pixels(self.context.grid).shape_in_world(shape)
        fields.setdefault("origin", "import")
        return Annotation(
            id=self._id(content, own, number), image=image, label=label, shape=found, frame=frame, **fields
        )

    def _id(self, content: object, own: object, number: object) -> UUID:
        """The id of an annotation."""
        if isinstance(own, str):
            try:
                return UUID(own)
            except ValueError:
                pass
        if number is not None:
            return self.context.new_id(self.format, self.context.source, number)
        digest = sha256(repr(content).encode()).digest()[:16]
        nth = self._seen.get(digest, 0)
        self._seen[digest] = nth + 1
        return self.context.new_id(self.format, digest.hex(), nth)
