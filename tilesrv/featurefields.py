"""The parameters of annotations, each declared once."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from bigimage.errors import InputError
from bigimage.geometry.planes import PLANES
from bigimage.model.shape import KINDS
from tilesrv.fields import MAX_T
from tilesrv.params import Param, Table, choice, integer, numbers, text
from tilesrv.values import CRS as POINT_CRS

FAR = 1e12
MOST = 10_000
"""Most annotations of one page."""
NAME_PATTERN = r"[^\x00-\x1f\x7f]+"

CRS: Param[str] = replace(
    POINT_CRS,
    about="CRS of the coordinates: a code, WKT, or `native` for the image's own. Default: WGS 84 longitude, latitude "
    "(RFC 7946) where the image has a CRS, else its own coordinates. Always x before y.",
)
BBOX_CRS: Param[str] = replace(POINT_CRS, name="bbox-crs", about="CRS of `bbox`, as for `crs`. Default: WGS 84.")
BBOX = numbers(
    "bbox",
    "What touches this box: west,south,east,north (west > east across the antimeridian), or 6 numbers in a volume.",
    counts=(4, 6),
    low=-FAR,
    high=FAR,
    example=[11.0, 48.0, 11.5, 48.2],
)


def _moment(value: str) -> int | datetime:
    """A revision or a time."""
    if value.isascii() and value.isdigit() and len(value) < 16:
        return int(value)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        moment = None
    if moment is None or len(value) > 40 or moment.tzinfo is None or not 1970 < moment.year < 9000:
        raise InputError("takes a revision, or a time such as 2026-11-23T12:00:00Z")
    return moment.astimezone(UTC)


AT: Param[int | datetime] = Param(
    name="at",
    about="The state at a revision, or at a time (RFC 3339).",
    parse=_moment,
    schema={
        "anyOf": [
            {"type": "integer", "minimum": 0, "maximum": 10**15 - 1},
            {"type": "string", "format": "date-time", "maxLength": 40},
        ]
    },
)


@dataclass(frozen=True, slots=True)
class Span:
    """A span of time; None where it is open."""

    start: datetime | None
    stop: datetime | None
    """Exclusive."""


def _instant(value: str, *, last: bool) -> datetime:
    """First moment of a date or time, or with `last` the first behind it. Raises InputError."""
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        moment = None
    day = len(value) == len("2026-11-23")
    if moment is None or not (day or moment.tzinfo) or not 1970 < moment.year < 9000:
        raise InputError(
            "takes a time such as 2026-11-23T12:00:00Z, a date, or two with a slash between them, .. for an open end"
        )
    moment = moment.replace(tzinfo=UTC) if day else moment.astimezone(UTC)
    return moment + (timedelta(days=1) if day else timedelta(microseconds=1)) if last else moment


def _span(value: str) -> Span:
    """Span of a time or an interval, as OGC API writes them."""
    first, slash, last = value.partition("/")
    if not slash:
        first = last = value
    open_ = ("", "..") if slash else ()
    if first in open_ and last in open_:
        raise InputError("takes an interval that is open at one end at most")
    start = None if first in open_ else _instant(first, last=False)
    stop = None if last in open_ else _instant(last, last=True)
    if start is not None and stop is not None and stop <= start:
        raise InputError("takes an interval whose end is not before its beginning")
    return Span(start, stop)


DATETIME: Param[Span] = Param(
    name="datetime",
    about="What was last changed at this time or in this interval: `2026-11-23`, `2026-11-23T12:00:00Z/..`.",
    parse=_span,
    schema={"type": "string", "minLength": 10, "maxLength": 80},
    example="2026-11-01/..",
)


def _uuid(value: str) -> UUID:
    """A UUID in its usual form."""
    try:
        found = UUID(value)
    except ValueError:
        found = None
    if found is None or str(found) != value.lower():
        raise InputError("takes a UUID such as 0f8fad5b-d9cb-469f-a165-70867728950e")
    return found


ANNOTATION_ID: Param[UUID] = Param(
    name="uuid",
    about="Id of the annotation.",
    parse=_uuid,
    schema={"type": "string", "format": "uuid", "minLength": 36, "maxLength": 36},
    where="path",
    example="0f8fad5b-d9cb-469f-a165-70867728950e",
)
LABEL = text("label", "Those of this label and of the labels below it.", pattern=NAME_PATTERN, longest=200)
AUTHOR = text("author", "Those whose first version this person made.", pattern=NAME_PATTERN, longest=200)
LIMIT = integer("limit", "Most annotations of one page.", low=1, high=MOST, default=1000)


@dataclass(frozen=True, slots=True)
class AnnotationPath:
    """Path of one annotation."""

    uuid: UUID


@dataclass(frozen=True, slots=True)
class CrsQuery:
    """Query of whatever has coordinates."""

    crs: str | None


@dataclass(frozen=True, slots=True)
class StateQuery(CrsQuery):
    """Query of one annotation."""

    version: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeaturesQuery(CrsQuery):
    """Query of annotations."""

    bbox: tuple[float, ...] | None
    bbox_crs: str | None
    label: str | None
    author: str | None
    shape: str | None
    plane: str | None
    index: int | None
    t: int | None
    at: int | datetime | None
    datetime: Span | None
    limit: int
    cursor: str | None

    def __post_init__(self) -> None:
        if (self.plane is None) != (self.index is None):
            raise InputError("plane and index go together: give both or none")


ANNOTATION = Table((ANNOTATION_ID,), AnnotationPath)
CRS_QUERY = Table((CRS,), CrsQuery)
STATE_QUERY = Table((CRS, integer("version", "An earlier version.", low=1, high=2**31 - 1)), StateQuery)
FEATURES_QUERY = Table(
    (
        BBOX,
        BBOX_CRS,
        CRS,
        LABEL,
        AUTHOR,
        choice("shape", "Those of this kind of shape.", tuple(KINDS)),
        choice("plane", "Those that touch a slice of a volume, together with `index`.", PLANES),
        integer("index", "Which slice; 0 is the inferior, right or anterior end.", low=0, high=1_000_000),
        integer("t", "Those of this point in time, and those of all times.", low=0, high=MAX_T),
        AT,
        DATETIME,
        LIMIT,
        text("cursor", "Where the page before ended; follow the `next` link.", pattern="[A-Za-z0-9_-]+", longest=200),
    ),
    FeaturesQuery,
)
