"""The segment sequence of DICOM segmentations. Source: DICOM PS3.3 C.8.20.4 (segment description macro)."""

from collections.abc import Iterable, Sequence
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence

from bigimage.formats.dicom.terms import (
    BACKGROUND,
    code_item,
    code_of,
    code_sequence,
    from_cielab,
    text,
    to_cielab,
    uid_of,
)
from bigimage.formats.door import Context, Report, Segment
from bigimage.formats.mask.streams import color_of, rgb, segment_for, segment_name

LONGEST_LABEL = 64
METHODS = {"MANUAL": "manual", "SEMIAUTOMATIC": "import", "AUTOMATIC": "import"}
HIGHEST = 65535


def segment_items(segments: Sequence[Segment], numbers: Sequence[int], report: Report) -> list[Dataset]:
    """Items of the segment sequence. Notes what was cut, and which segments have no code."""
    nameless = sorted({segment.label.name for segment in segments if segment.label.code is None})
    if nameless:
        shown = ", ".join(nameless[:10]) + (" and more" if len(nameless) > 10 else "")
        report.note(f"labels without a code are marked as unspecified: {shown}")
    return [_item(segment, number, report) for segment, number in zip(segments, numbers, strict=True)]


def background_item() -> Dataset:
    """Segment 0 of a label map."""
    item = Dataset()
    item.SegmentNumber = 0
    item.SegmentLabel = "Background"
    item.SegmentAlgorithmType = "MANUAL"
    item.SegmentedPropertyCategoryCodeSequence = code_sequence(BACKGROUND)
    item.SegmentedPropertyTypeCodeSequence = code_sequence(BACKGROUND)
    return item


def _item(segment: Segment, number: int, report: Report) -> Dataset:
    item = Dataset()
    name = segment_name(segment)
    item.SegmentNumber = number
    item.SegmentLabel = text(name, LONGEST_LABEL) or f"segment {number}"
    if item.SegmentLabel != name:
        report.lose("approximated", "name", f"{name!r} is called {item.SegmentLabel!r}; names have 64 characters")
    if segment.label.definition:
        item.SegmentDescription = segment.label.definition[:1024]
    model = segment.origin.removeprefix("model:") if segment.origin.startswith("model:") else None
    item.SegmentAlgorithmType = "AUTOMATIC" if model else "SEMIAUTOMATIC" if segment.origin == "import" else "MANUAL"
    if item.SegmentAlgorithmType != "MANUAL":
        item.SegmentAlgorithmName = text(model or "unknown", LONGEST_LABEL)
    terms = segment.terms
    item.SegmentedPropertyCategoryCodeSequence = code_sequence(terms.get("category"))
    kind = code_item(segment.label.code)
    if "modifier" in terms:
        kind.SegmentedPropertyTypeModifierCodeSequence = code_sequence(terms["modifier"])
    item.SegmentedPropertyTypeCodeSequence = DicomSequence([kind])
    if "region" in terms:
        region = code_item(terms["region"])
        if "region modifier" in terms:
            region.AnatomicRegionModifierSequence = code_sequence(terms["region modifier"])
        item.AnatomicRegionSequence = DicomSequence([region])
    item.RecommendedDisplayCIELabValue = list(to_cielab(*rgb(segment.label.color)))
    if segment.instance is not None:
        item.TrackingID = text(segment.instance, LONGEST_LABEL)
        item.TrackingUID = uid_of("tracking", segment.instance)
    return item


def read_segments(items: Iterable[Any], *, context: Context, report: Report) -> dict[int, Segment]:
    """Segments by number; the background of a label map is left out. What is wrong becomes problems."""
    found: dict[int, Segment] = {}
    for k, item in enumerate(items):
        place = f"SegmentSequence/{k}"
        number = item.get("SegmentNumber")
        if not isinstance(number, int):
            report.problem("missing", place, "a segment has no number")
            continue
        if number in found:
            report.problem("duplicate", place, f"segment number {number} is given twice")
            continue
        if number != 0:
            found[number] = _segment(item, number, context)
    return found


def _segment(item: Dataset, number: int, context: Context) -> Segment:
    kinds: Any = item.get("SegmentedPropertyTypeCodeSequence") or []
    regions: Any = item.get("AnatomicRegionSequence") or []
    terms = {
        "category": code_of(item.get("SegmentedPropertyCategoryCodeSequence")),
        "modifier": code_of(kinds[0].get("SegmentedPropertyTypeModifierCodeSequence")) if kinds else None,
        "region": code_of(regions),
        "region modifier": code_of(regions[0].get("AnatomicRegionModifierSequence")) if regions else None,
    }
    lab: Any = item.get("RecommendedDisplayCIELabValue")
    instance = item.get("TrackingID")
    return segment_for(
        context,
        value=number,
        name=str(item.get("SegmentLabel") or "").strip() or f"segment {number}",
        color=color_of(*from_cielab(lab)) if lab and len(lab) == 3 else None,
        code=code_of(kinds),
        terms={name: code for name, code in terms.items() if code is not None},
        definition=str(item.get("SegmentDescription") or "") or None,
        origin=_origin(item),
        instance=str(instance) if instance else None,
    )


def _origin(item: Dataset) -> str:
    """`model:NAME@VERSION` where the algorithm says so, else by its type."""
    kind, name = str(item.get("SegmentAlgorithmType") or "MANUAL"), str(item.get("SegmentAlgorithmName") or "")
    if kind == "AUTOMATIC" and name.count("@") == 1 and all(name.split("@")) and " " not in name:
        return f"model:{name}"
    return METHODS.get(kind, "import")
