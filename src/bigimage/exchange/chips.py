"""Chips: big images cut to pieces that models are trained on, with annotations and without leaks between splits."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from bigimage.errors import InputError, Unsupported
from bigimage.exchange.cutting import Cutter, channels_of, value_type, wants_physical
from bigimage.exchange.output import (
    REPORT_SUFFIX,
    Exported,
    Progress,
    Stop,
    counted,
    digest,
    ignore_progress,
    never,
    require_lossless,
    summary,
    unfinished,
    write_report,
)
from bigimage.exchange.pieces import (
    Chip,
    ChipImage,
    ChipOptions,
    Square,
    numbered,
    patient_of,
    plan_chips,
    plan_images,
    split_by,
)
from bigimage.exchange.splits import SPLITS, Counts, assign, parts_of, without_leaks
from bigimage.exchange.vector import context_for, source_name, vector_format
from bigimage.formats.door import Options, Report, check_options
from bigimage.formats.pictures import check_picture, labels_format, suffix_of, write_labels, write_picture
from bigimage.formats.vector.pages import Page, label_of
from bigimage.geometry.grid import Grid
from bigimage.model.labels import Label, Schema
from bigimage.store.door import AnnotationStore

__all__ = ["Chip", "ChipImage", "ChipOptions", "assign", "export_chips", "plan_chips", "wants_physical"]
MASKS = "masks"
"""Name of the format whose annotations are pictures of values."""
LOOK_EVERY = 8
"""Chips between two looks at whether somebody wants to stop."""


def export_chips(
    store: AnnotationStore,
    images: Sequence[ChipImage],
    *,
    format: str,
    output: Path,
    options: ChipOptions | None = None,
    format_options: Options | None = None,
    at: Mapping[str, int] | None = None,
    schema_version: int | None = None,
    snapshot: str | None = None,
    strict: bool = False,
    progress: Progress = ignore_progress,
    stop: Stop = never,
) -> Exported:
    """Write a data set of chips: pictures below `images/SPLIT`, annotations as the format has them, `chips.json`.

    Parameters
    ----------
    images
        What is cut; several become one data set, in which no square of land and no patient is in two splits.
    format
        One that holds several images: `coco`, `coco-panoptic`, `yolo`, `yolo-seg`, `yolo-obb`, `voc`, `cvat`,
        `labelstudio`, `labelme`, `datumaro`; or `masks`, pictures of the values of labels below `labels/SPLIT`.
    at, schema_version, snapshot
        Revision of each image and version of the label schema, the latest by default; what the report calls them.
    strict
        Refuse any loss; nothing is written then.

    Raises
    ------
    InputError, Unsupported, Conflict, BackendError, Cancelled
        For options that make no sense, blocks of a volume in another format than `masks`, a format of single images,
        a loss when strict, a folder in the way, a failing disk or database; it was stopped.
    """
    options, chosen = options or ChipOptions(), dict(format_options or {})
    if not images:
        raise InputError("name an image that is to be cut")
    module = _format(format, chosen, options)
    images = _named(images)
    for image in images:
        check_picture(
            options.pictures,
            value_type(image.info, options),
            channels_of(image.info, options),
            grid=image.info.grid if options.depth > 1 or options.pictures == "nii" else None,
        )
    report = Report()
    revisions = [_revision(store, image, at) for image in images]
    schema = _schema(store, images, revisions, schema_version)
    cutters = [Cutter(store, i, options, schema, r, report) for i, r in zip(images, revisions, strict=True)]
    listed = _planned(cutters, options, report)
    with unfinished(output) as folder:
        folder.mkdir()
        writer = _Writer(cutters, options, module, folder, report, chosen)
        made = writer.write(listed, progress, stop)
        if strict:
            require_lossless(report, format)
        head: dict[str, Any] = {"format": format}
        head |= _about(images, revisions) | {"schema": schema.version}
        head |= {} if snapshot is None else {"snapshot": snapshot}
        manifest = {**head, "options": {**_plain(options), **chosen}, "chips": made}
        (folder / "chips.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        told = summary(report, {**head, "chips": len(made), "sha256": digest(folder)})
        report_path = output.with_name(output.name + REPORT_SUFFIX)
        write_report(folder.with_name(report_path.name), report, told)
    return Exported(output, report_path, told)


def _format(format: str, chosen: Options, options: ChipOptions) -> Any:
    """Module of a format of several images; None for pictures of values. Raises InputError, Unsupported."""
    if format == MASKS:
        check_options(format, {}, chosen)
        return None
    module: Any = vector_format(format)
    if not hasattr(module, "write_pages"):
        raise Unsupported(f"{format} is about one image; chips are many: take coco, yolo, cvat, masks, …")
    check_options(format, module.OPTIONS, chosen)
    if options.depth > 1:
        raise Unsupported(f"{format} is about flat images; annotations of blocks are written as {MASKS}")
    return module


def _named(images: Sequence[ChipImage]) -> list[ChipImage]:
    """Images with names for their chips, of which none comes twice."""
    names = [image.name or Path(source_name(image.info)).stem or image.info.id for image in images]
    return [replace(image, name=name) for image, name in zip(images, numbered(names), strict=True)]


def _revision(store: AnnotationStore, image: ChipImage, at: Mapping[str, int] | None) -> int:
    """Revision of an image's annotations; 0 for none."""
    if at is not None:
        return at[image.info.id]
    found = store.revision(image.info.id)
    return found.number if found else 0


def _schema(
    store: AnnotationStore, images: Sequence[ChipImage], revisions: Sequence[int], version: int | None
) -> Schema:
    """The label schema; where none was set, one made of the labels that occur on any image, sorted by name."""
    schema = store.schema(version or None)
    if schema is not None and schema.labels:
        return schema
    found = zip(images, revisions, strict=True)
    names = sorted({a.label for image, at in found for a in store.query(image.info.id, at=at)})
    return Schema(labels=tuple(Label(name=n, value=k) for k, n in enumerate(names, 1)))


def _about(images: Sequence[ChipImage], revisions: Sequence[int]) -> dict[str, Any]:
    """What a manifest says about the images."""
    if len(images) == 1:
        return {"image": images[0].info.id, "revision": revisions[0]}
    return {"images": {image.info.id: revision for image, revision in zip(images, revisions, strict=True)}}


def _plain(options: ChipOptions) -> dict[str, Any]:
    """Options as JSON."""
    return {name: getattr(options, name) for name in options.__dataclass_fields__}


# ---- planning


def _planned(cutters: Sequence[Cutter], options: ChipOptions, report: Report) -> list[tuple[Chip, str]]:
    """Chips that are written with their splits, split by split. What is left out is noted."""
    images = [cutter.image for cutter in cutters]
    chips = plan_images(images, options)
    kept = [c for c in chips if c.reviewed or options.unreviewed]
    if len(kept) < len(chips):
        report.note(f"{len(chips) - len(kept)} chips that nobody reviewed are left out")
    splits = assign(_squares(cutters, kept, options), options, seed_text=images[0].info.id)
    listed = list(without_leaks(kept, splits))
    if len(listed) < len(kept):
        report.note(f"{len(kept) - len(listed)} chips that reach into another split are left out")
    _note_patients(images, options, report)
    missing = [split for split in parts_of(options) if split not in splits.values()]
    if missing and kept:
        report.note(f"nothing is left for {' and '.join(missing)}: too few squares, images or patients to share out")
    return sorted(listed, key=lambda pair: SPLITS.index(pair[1]))


def _note_patients(images: Sequence[ChipImage], options: ChipOptions, report: Report) -> None:
    """Note which images do not say whose they are."""
    for image in images:
        if split_by(image.info, options) == "patient":
            who, known = patient_of(image.info)
            if not known:
                report.note(
                    f"image {image.info.id} names no patient; it is taken to be of a patient of its own ({who})"
                )


def _squares(cutters: Sequence[Cutter], chips: Iterable[Chip], options: ChipOptions) -> Mapping[Square, Counts]:
    """Numbers of annotations of each label in each square, image or patient."""
    found: dict[Square, dict[str, int]] = {}
    shared_out = bool(options.val + options.test)
    counted_whole: set[int] = set()
    for chip in chips:
        counts, cutter = found.setdefault(chip.square, {}), cutters[chip.image]
        by_square = split_by(cutter.image.info, options) == "block"
        if not shared_out or chip.image in counted_whole:
            continue
        if by_square:
            labels = [a.label for a in cutter.annotations(chip)]
        else:
            counted_whole.add(chip.image)
            labels = [a.label for a in cutter.store.query(cutter.image.info.id, at=cutter.revision)]
        for label in labels:
            counts[label] = counts.get(label, 0) + 1
    return found


# ---- writing


@dataclass(frozen=True, eq=False)
class _Writer:
    """One data set on its way into a folder."""

    cutters: Sequence[Cutter]
    options: ChipOptions
    module: Any
    """Format of the annotations; None for pictures of values."""
    folder: Path
    report: Report
    chosen: Options
    """Options of the format."""

    def write(self, listed: Sequence[tuple[Chip, str]], progress: Progress, stop: Stop) -> list[dict[str, Any]]:
        """Write all chips; what the manifest says of each."""
        made: list[dict[str, Any]] = []
        # one run over all chips, taken split by split where each split is a file of its own
        rest = counted(self._image_by_image(listed), len(listed), progress, stop, every=LOOK_EVERY)
        if self.module is None:
            made += [entry for chip, split in rest if (entry := self._masks(chip, split)) is not None]
            self._write_classes()
            return made

        def pages(count: int) -> Iterator[Page]:
            for chip, split in islice(rest, count):
                page = self._page(chip, split)
                if page is not None:
                    made.append({**self._entry(chip, split, page.name), "annotations": len(list(page.annotations))})
                    yield page

        info = self.cutters[0].image.info
        context = context_for(info, self.cutters[0].schema, file_name=source_name(info))
        keywords = {"context": context, "report": self.report, "options": self.chosen}
        if self.module.SUFFIXES[0] == "" or self.module.NAME in ("voc", "labelme"):
            self.module.write_pages(self.folder, pages(len(listed)), **keywords)
            return made
        (self.folder / "annotations").mkdir()
        for split in SPLITS:
            count = sum(s == split for _, s in listed)
            if count:
                # as the files of COCO itself are named, by which its readers know them
                name = f"instances_{split}" if self.module.NAME == "coco" else split
                target = self.folder / "annotations" / f"{name}{self.module.SUFFIXES[0]}"
                self.module.write_pages(target, pages(count), **keywords)
        return made

    def _image_by_image(self, listed: Iterable[tuple[Chip, str]]) -> Iterator[tuple[Chip, str]]:
        """Chips with their splits; no more than one volume's annotations are in memory."""
        last: Cutter | None = None
        for chip, split in listed:
            if last is not None and last is not self.cutters[chip.image]:
                last.forget()
            last = self.cutters[chip.image]
            yield chip, split

    def _page(self, chip: Chip, split: str) -> Page | None:
        """A chip with its picture written; None where it is empty and such are not kept."""
        cutter = self.cutters[chip.image]
        found = cutter.annotations(chip)
        if not found and not self.options.empty:
            return None
        grid = cutter.grid.crop(chip.box)
        name = self._write_picture(chip, split)
        flat = grid if grid.ndim == 2 else Grid.pixels(grid.shape[1:], cutter.image.info.id)
        return Page(name=name, grid=flat, annotations=found, split=split, reviewed=chip.reviewed)

    def _write_picture(self, chip: Chip, split: str) -> str:
        """Write the picture of a chip; its name."""
        cutter = self.cutters[chip.image]
        name = f"{chip.name}{suffix_of(self.options.pictures)}"
        array, grid = cutter.pixels(chip.box), cutter.grid.crop(chip.box)
        if self.options.pictures == "nii" and array.ndim == 3:
            array = array[:, None]
        # the devkit of Pascal VOC keeps all pictures in one folder, its splits in lists
        devkit = self.module is not None and self.module.NAME == "voc"
        path = _in_folder(self.folder / "JPEGImages" if devkit else self.folder / "images" / split, name)
        write_picture(path, array, grid, format=self.options.pictures)
        return name

    def _masks(self, chip: Chip, split: str) -> dict[str, Any] | None:
        """Write a chip's picture and its picture of values; None where it is empty and such are not kept."""
        cutter = self.cutters[chip.image]
        classes = cutter.classes(chip)
        values = [int(v) for v in sorted(set(classes.ravel().tolist())) if v] if classes.any() else []
        if not values and not self.options.empty:
            return None
        name = self._write_picture(chip, split)
        if values or chip.reviewed:
            format, grid = labels_format(self.options.pictures), cutter.grid.crop(chip.box)
            array = classes[None] if format == "nii" and classes.ndim == 2 else classes
            path = _in_folder(self.folder / "labels" / split, f"{chip.name}{suffix_of(format)}")
            write_labels(path, array, grid, format=format)
            self.report.written += 1
        else:
            self.report.note("chips that nobody reviewed and nothing is drawn on have no labels: they are not empty")
        return {**self._entry(chip, split, name), "values": values}

    def _write_classes(self) -> None:
        """Say what values mean, and note what pixels cannot say."""
        schema = self.cutters[0].schema
        labels = [{"name": x.name, "value": x.value, "color": x.color} for x in schema.labels]
        document = {"labels": labels, "unlabelled": 0, "background": schema.background}
        (self.folder / "classes.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        for cutter in self.cutters:
            info = cutter.image.info
            context = context_for(info, schema)
            for annotation in cutter.store.query(info.id, at=cutter.revision):
                label_of(annotation, context, self.report)
        self.report.note(
            "a pixel holds the value of the label that lies on top; objects of one label are not told apart"
        )

    def _entry(self, chip: Chip, split: str, name: str) -> dict[str, Any]:
        """What the manifest says of a chip: its place, which PNG and JPEG cannot say."""
        cutter = self.cutters[chip.image]
        more = {"image": cutter.image.info.id} if len(self.cutters) > 1 else {}
        return {
            "name": name,
            **more,
            "split": split,
            "start": list(chip.box.start),
            "stop": list(chip.box.stop),
            "affine": [list(row) for row in cutter.grid.crop(chip.box).affine],
            "reviewed": chip.reviewed,
        }


def _in_folder(folder: Path, name: str) -> Path:
    """Path of a file in a folder, which is made where it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name
