"""The annotations of a workspace: checked against their images and the label schema, kept with their whole history."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, cast, get_args, runtime_checkable
from uuid import UUID

from bigimage.errors import InputError, NotFound
from bigimage.geometry.box import WorldBox
from bigimage.model.annotation import Annotation, Relation, frame_ndim
from bigimage.model.change import Added, Applied, BrushPatch, Change, Clash, Edited, Logged, Once, Removed, Revision
from bigimage.model.geodataframe import from_geodataframe, table_of_geodataframe, to_geodataframe
from bigimage.model.geojson import shape_of
from bigimage.model.image import ImageInfo
from bigimage.model.labels import Schema
from bigimage.model.problem import Problem, require_none
from bigimage.model.schema_json import read_schema
from bigimage.model.shape import Shape
from bigimage.model.table import Table, in_tables
from bigimage.model.validate import validate_all
from bigimage.model.validate_table import validate_table
from bigimage.model.where import Where
from bigimage.store.door import AnnotationStore, Difference, Moment, Step
from bigimage.store.revert import Reverted, revert_annotation, revert_author, revert_to

if TYPE_CHECKING:
    import geopandas
    from numpy.typing import ArrayLike, NDArray

CHECKED = 20_000
"""Annotations that are checked at a time."""
MOST_PROBLEMS = 1000
"""Most problems that a refusal of many annotations lists."""
_SHAPES = get_args(Shape)


@runtime_checkable
class HasGeometry(Protocol):
    """Whatever says where it is in GeoJSON's terms: shapely geometries and those of many other libraries."""

    @property
    def __geo_interface__(self) -> Mapping[str, Any]:
        """GeoJSON geometry."""
        ...


Drawn = Annotation | Shape | HasGeometry
Box = WorldBox | Sequence[float]
"""A box with its frame, or (min…, max…) in the image's frame."""


class Annotations:
    """The annotations of a workspace's images. Safe to share between threads.

    What is added or changed is checked against its image's grid and frame and against the label schema, and refused
    with every problem listed. Every method that changes something takes an `author`; the default is the workspace's.
    """

    def __init__(
        self,
        store: AnnotationStore,
        info: Callable[[str], ImageInfo],
        *,
        new_id: Callable[[], UUID],
        author: str,
    ) -> None:
        self.store = store
        """Where they are kept: unchecked, and with columns and counts for maps."""
        self._info, self._new_id, self._author = info, new_id, author

    # ---- changing

    def new(
        self,
        image: str,
        shape: Shape | HasGeometry,
        *,
        label: str,
        attributes: Mapping[str, Any] | None = None,
        t: int | None = None,
        origin: str = "manual",
        score: float | None = None,
        instance: str | None = None,
        relations: tuple[Relation, ...] = (),
    ) -> Annotation:
        """An annotation with a new id in an image's frame, not stored yet; see `Annotation` for its fields.

        Raises NotFound for an unknown image, Invalid for a geometry that is no shape there.
        """
        grid = self._info(image).grid
        if not isinstance(shape, _SHAPES):
            found = shape_of(cast("HasGeometry", shape).__geo_interface__, ndim=frame_ndim(grid.frame), grid=grid)
            if isinstance(found, list):
                require_none("the geometry", found)
                raise InputError("the geometry is no shape")  # an empty list of problems never comes
            shape = found
        return Annotation(
            id=self._new_id(),
            image=image,
            label=label,
            shape=cast("Shape", shape),
            frame=grid.frame,
            attributes=attributes or {},
            t=t,
            origin=origin,
            score=score,
            instance=instance,
            relations=relations,
        )

    def add(
        self,
        image: str,
        *drawn: Drawn,
        label: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        author: str | None = None,
        once: Once | None = None,
    ) -> list[Annotation]:
        """Store new annotations as one revision, all or none; what was stored, in their order.

        Parameters
        ----------
        image
            The image that they are on.
        drawn
            Annotations; or shapes and geometries (such as shapely's) in the image's frame, with `label`.
        label, attributes
            Of those that are not annotations yet.
        once
            Idempotency key: the same call made twice is stored once and answered the same.

        Raises
        ------
        Invalid
            With every problem of every annotation.
        NotFound, Conflict, InputError, BackendError
            An unknown image; an id that is taken; a wrong argument; a failing database.
        """
        listed: list[Annotation] = []
        for one in drawn:
            if isinstance(one, Annotation):
                listed.append(one)
            elif label is None:
                raise InputError("shapes and geometries need a label=")
            else:
                listed.append(self.new(image, one, label=label, attributes=attributes))
        return self._answer(image, [Added(a) for a in listed], author, once)

    def update(self, *annotations: Annotation, author: str | None = None) -> list[Annotation]:
        """Store new states of annotations of one image as one revision, all or none; what was stored.

        Take an annotation as it was read and change it with `dataclasses.replace`: its `version` says what the change
        was made from. Raises Conflict when somebody else was faster; its `clashes` hold both states. Raises Invalid,
        NotFound, InputError, BackendError.
        """
        unread = [a.id for a in annotations if a.version < 1]
        if unread:
            raise InputError(f"annotation {unread[0]} has no version: read it, change that, and update it")
        changes = [Edited(a, a.version) for a in annotations]
        return self._answer(_one_image(annotations), changes, author, None)

    def remove(self, *which: Annotation | UUID, author: str | None = None) -> Revision | None:
        """Remove annotations of one image as one revision, all or none; their history stays.

        An annotation is removed only as it was read; an id, whatever its state is. Raises NotFound, Conflict,
        InputError, BackendError.
        """
        known = [self.store.get(one) if isinstance(one, UUID) else one for one in which]
        if not known:
            return None
        changes = [Removed(a.id, a.version) for a in known]
        return self.store.apply(_one_image(known), changes, author=author or self._author).revision

    def apply(
        self,
        image: str,
        changes: Iterable[Change],
        *,
        author: str | None = None,
        once: Once | None = None,
        skip_conflicts: bool = False,
    ) -> Applied:
        """Check changes of one image and store them as one revision; see `AnnotationStore.apply`.

        Raises Invalid, whose places begin with the number of the change; NotFound, Conflict, InputError, BackendError.
        """
        info, schema = self._info(image), self.schema()
        listed = [_stamped(c, schema) for c in changes]
        brought = [(k, c.annotation) for k, c in enumerate(listed) if isinstance(c, (Added, Edited))]
        problems = [
            problem.below(str(brought[k][0])) for k, problem in _problems([a for _, a in brought], info, schema)
        ]
        for k, change in enumerate(listed):
            if isinstance(change, BrushPatch) and change.patch.grid != info.grid:
                message = "the stroke lies on another grid than the image's finest level"
                problems.append(Problem("grid", f"{k}/patch", message))
        require_none("the change" if len(listed) == 1 else "a change", problems)
        return self.store.apply(image, listed, author=author or self._author, once=once, skip_conflicts=skip_conflicts)

    def problems(self, image: str, annotations: Sequence[Annotation]) -> list[tuple[int, Problem]]:
        """What keeps annotations from being stored, each with the position of its annotation. Raises NotFound."""
        return _problems(annotations, self._info(image), self.schema())

    def table(
        self,
        image: str,
        geometries: "Sequence[Any] | NDArray[Any]",
        *,
        label: str | Sequence[str],
        ids: Sequence[UUID] | None = None,
        attributes: Sequence[Mapping[str, Any]] | None = None,
        origin: str = "manual",
        score: "ArrayLike | None" = None,
    ) -> Table:
        """Many new annotations of a flat image as columns, not stored yet: `load` takes them, alone or several.

        `geometries` are shapely's points, lines and polygons in the image's frame; `shapely.from_ragged_array` makes
        them of flat arrays of coordinates. `label` is one for all or one for each; ids are new ones by default; a score
        of NaN is none. Raises NotFound for an unknown image, and InputError for a volume, for columns of different
        lengths and for a geometry that is missing or of another type.
        """
        frame = self._info(image).grid.frame
        made = [self._new_id() for _ in geometries] if ids is None else ids
        said: dict[str, Any] = {"label": label, "attributes": attributes, "origin": origin, "score": score}
        return Table.of(geometries, image=image, frame=frame, ids=made, **said)

    def load(
        self, image: str, annotations: Iterable[Annotation | Table], *, author: str | None = None
    ) -> Revision | None:
        """Check many new annotations and store them as one revision, fast; memory hardly grows with their number.

        Tables, which `table` makes, stand for their rows and are several times as fast. Nothing is stored unless all
        are sound. Raises Invalid with the problems (the first `MOST_PROBLEMS`), NotFound, Conflict when an id is taken,
        FrameMismatch, InputError, BackendError.
        """
        checked = self._checked(annotations, self._info(image), self.schema())
        return self.store.load(image, checked, author=author or self._author)

    def _checked(
        self, annotations: Iterable[Annotation | Table], info: ImageInfo, schema: Schema
    ) -> Iterator[Annotation | Table]:
        """The annotations, while they are sound; all are looked at before any problem is raised."""
        problems: list[Problem] = []
        count, more = 0, 0
        for part in in_tables(annotations, CHECKED):
            stamped: list[Annotation] | Table
            if isinstance(part, Table):
                stamped = part if part.schema is not None else replace(part, schema=schema.version or None)
                found = _table_problems(stamped, info, schema)
            else:
                stamped = [_with_version(a, schema) for a in part]
                found = _problems(stamped, info, schema)
            for k, problem in found:
                if len(problems) < MOST_PROBLEMS:
                    problems.append(problem.below(str(count + k)))
                else:
                    more += 1
            count += len(part)
            if not problems:
                yield from [stamped] if isinstance(stamped, Table) else stamped
        if more:
            problems.append(Problem("value", "", f"and {more} more problems"))
        require_none(f"{count} annotations", problems)

    def _answer(
        self, image: str, changes: Sequence[Added | Edited], author: str | None, once: Once | None
    ) -> list[Annotation]:
        """Apply changes; the annotations as they were stored."""
        schema = self.schema()
        stamped = [_stamped(change, schema) for change in changes]
        applied = self.apply(image, stamped, author=author, once=once)
        made = applied.revision
        out: list[Annotation] = []
        for change, result in zip(stamped, applied.results, strict=True):
            if isinstance(change, Added) and made is not None and not applied.replayed:
                kept = {"version": 1, "author": made.author, "editor": made.author}
                out.append(replace(change.annotation, **kept, created=made.time, modified=made.time))
            elif not isinstance(result, Clash):
                out.append(self.store.get(result.id, version=result.version))
        return out

    # ---- reading

    def get(self, id: UUID, *, version: int | None = None) -> Annotation:
        """One annotation, as it is or as it was. Raises NotFound when it never was or is removed."""
        return self.store.get(id, version=version)

    def query(
        self,
        image: str,
        box: Box | None = None,
        *,
        label: str | None = None,
        where: Where | None = None,
        at: Moment | None = None,
        limit: int | None = None,
        after: UUID | None = None,
    ) -> Iterator[Annotation]:
        """Annotations of an image, read while they are taken.

        Parameters
        ----------
        box
            Those whose boxes touch it: a `WorldBox`, or (min…, max…) in the image's frame.
        label
            Those of this label, of its former names and of the labels below it.
        where
            What else they must have in common.
        at
            A revision's number or a time: the state that was visible then.
        limit, after
            At most so many; those stored behind this one. With them, as without a box, annotations come in the order
            in which they were first stored.

        Raises
        ------
        NotFound, InputError, FrameMismatch, BackendError
            For an image that never was, a negative limit, a box in another kind of frame, a failing database.
        """
        chosen = self._chosen(label, where)
        return self.store.query(image, self._box(image, box), where=chosen, at=at, limit=limit, after=after)

    def count(self, image: str, *, label: str | None = None, where: Where | None = None) -> int:
        """Number of annotations of an image as it is, without reading them; `label` and `where` as for `query`.

        Raises NotFound for an image that never was, InputError for a `slab` and for `ids`, BackendError.
        """
        self._box(image, None)
        return self.store.count(image, where=self._chosen(label, where))

    def _chosen(self, label: str | None, where: Where | None) -> Where:
        """What is asked for, with every name of a label."""
        chosen = where or Where()
        if label is None:
            return chosen
        names = self._names(label)
        return replace(chosen, labels=names if chosen.labels is None else chosen.labels & names)

    def _names(self, label: str) -> frozenset[str]:
        """Every name under which annotations of a label may be stored."""
        schema = self.schema()
        return schema.names(label) if schema.find(label) is not None else frozenset({label})

    def _box(self, image: str, box: Box | None) -> WorldBox | None:
        """Box with its frame; the image must be known. Raises NotFound, InputError."""
        try:
            frame = self._info(image).grid.frame
        except NotFound:
            # of a removed image the log is kept; where the box has no frame its annotations give it
            first = next(self.store.query(image, limit=1), None)
            if self.store.revision(image) is None or (first is None and box is not None):
                raise
            frame = None if first is None else first.frame
        if box is None or isinstance(box, WorldBox) or frame is None:
            return cast("WorldBox | None", box)
        half = len(box) // 2
        if len(box) != 2 * frame_ndim(frame):
            raise InputError(f"a box of {2 * frame_ndim(frame)} numbers is due, (min…, max…), not {len(box)}")
        return WorldBox(tuple(map(float, box[:half])), tuple(map(float, box[half:])), frame)

    # ---- history

    def revision(self, image: str, *, at: Moment | None = None) -> Revision | None:
        """Latest revision of an image, or the one that was visible at a moment; None before the first."""
        return self.store.revision(image, at=at)

    def revisions(self, image: str, *, since: int = 0, limit: int | None = None) -> Sequence[Step]:
        """Revisions of an image behind one, the latest first, with how many changes each made. Raises NotFound."""
        self._box(image, None)
        return self.store.revisions(image, since=since, limit=limit)

    def changes(
        self, image: str, *, since: int = 0, until: int | None = None, limit: int | None = None
    ) -> Iterator[Logged]:
        """Log of an image behind a revision, in order, at most `limit` changes."""
        return self.store.changes(image, since=since, until=until, limit=limit)

    def history(self, id: UUID) -> Sequence[Logged]:
        """Every change of one annotation, the first one first. Raises NotFound."""
        return self.store.history(id)

    def differences(self, image: str, *, since: Moment, box: Box | None = None) -> Iterator[Difference]:
        """What became of each annotation that changed behind a moment; with a box, of those in it then or now."""
        return self.store.differences(image, since=since, box=self._box(image, box))

    def revert(self, image: str, *, to: Moment, box: Box | None = None, author: str | None = None) -> Reverted:
        """Bring an image, or a box of it, back to what was visible at a moment, by a new revision.

        Raises NotFound for an unknown image or a revision that never was, Conflict when others keep changing the same
        annotations meanwhile, BackendError.
        """
        own = self._box(image, box)
        latest = self.store.revision(image)
        if not isinstance(to, datetime) and not 0 <= to <= (latest.number if latest else 0):
            there = f"its latest is {latest.number}" if latest else "it has none"
            raise NotFound(f"image {image!r} has no revision {to}; {there}")
        return revert_to(self.store, image, to=to, author=author or self._author, box=own)

    def revert_annotation(self, id: UUID, *, to: int, author: str | None = None) -> Reverted:
        """Bring an annotation back to what it was at a version. Raises NotFound when it was removed there, Conflict."""
        return revert_annotation(self.store, id, to=to, author=author or self._author)

    def revert_author(self, image: str, who: str, *, since: int = 0, author: str | None = None) -> Reverted:
        """Take back everything that one person changed behind a revision, where nobody else has built on it."""
        return revert_author(self.store, image, who, author=author or self._author, since=since)

    # ---- tables and the schema

    def to_geodataframe(self, image: str, box: Box | None = None, **asked: Any) -> "geopandas.GeoDataFrame":
        """Annotations as a GeoDataFrame; takes what `query` takes. See `bigimage.model.geodataframe`."""
        return to_geodataframe(self.query(image, box, **asked))

    def from_geodataframe(
        self, image: str, table: "geopandas.GeoDataFrame", *, label: str | None = None, author: str | None = None
    ) -> Revision | None:
        """Store the rows of a GeoDataFrame as new annotations, one revision; None when there are no rows.

        Its CRS must be the image's (`table.to_crs` transforms it), or none. Raises what `load` and
        `bigimage.model.geodataframe.from_geodataframe` raise.
        """
        grid = self._info(image).grid
        asked: dict[str, Any] = {"image": image, "frame": grid.frame, "new_id": self._new_id, "label": label}
        columns = table_of_geodataframe(table, **asked)
        found = from_geodataframe(table, grid=grid, **asked) if columns is None else [columns]
        return self.load(image, found, author=author)

    def schema(self, version: int | None = None) -> Schema:
        """Label schema, the latest or that of a version; without labels, at version 0, when none was ever set.

        Raises NotFound when there is no such version.
        """
        return self.store.schema(version or None) or Schema()

    def set_schema(
        self, schema: Schema | Mapping[str, Any], *, author: str | None = None, base: int | None = None
    ) -> Schema:
        """Store a new version of the label schema, given as a `Schema` or as its JSON form; what was stored.

        `base` is the version that it was made from. Raises Invalid with every problem, and Conflict when the latest is
        not `base`.
        """
        made = schema if isinstance(schema, Schema) else read_schema(schema)
        return self.store.set_schema(made, author=author or self._author, base=base)


def _problems(annotations: Sequence[Annotation], info: ImageInfo, schema: Schema) -> list[tuple[int, Problem]]:
    """Everything that is wrong with annotations of an image; without a schema, any label will do."""
    times = info.shape[info.axes.index("t")] if "t" in info.axes else 1
    found = validate_all(annotations, schema=schema if schema.version else None, grid=info.grid, times=times)
    for k, annotation in enumerate(annotations):
        if annotation.image != info.id:
            found.append((k, Problem("image", "image", f"it is of image {annotation.image!r}, not {info.id!r}")))
    return found


def _table_problems(table: Table, info: ImageInfo, schema: Schema) -> list[tuple[int, Problem]]:
    """`_problems` of a table's rows."""
    times = info.shape[info.axes.index("t")] if "t" in info.axes else 1
    found = validate_table(table, schema=schema if schema.version else None, grid=info.grid, times=times)
    if table.image != info.id:
        found.append((0, Problem("image", "image", f"the table is of image {table.image!r}, not {info.id!r}")))
    return found


def _with_version(annotation: Annotation, schema: Schema) -> Annotation:
    """Annotation that says which version of the schema it was made under."""
    if annotation.schema is not None or not schema.version:
        return annotation
    return replace(annotation, schema=schema.version)


def _stamped(change: Change, schema: Schema) -> Any:
    """Change whose annotation says which version of the schema it was made under."""
    if isinstance(change, Added):
        return Added(_with_version(change.annotation, schema))
    if isinstance(change, Edited):
        # whoever changes an annotation now does so under the schema of now
        return Edited(_with_version(replace(change.annotation, schema=None), schema), change.base)
    return change


def _one_image(annotations: Sequence[Annotation]) -> str:
    """The image that all annotations are on. Raises InputError."""
    images = sorted({a.image for a in annotations})
    if len(images) != 1:
        raise InputError(f"annotations of one image are due, not of {', '.join(images) or 'none'}; call once for each")
    return images[0]
