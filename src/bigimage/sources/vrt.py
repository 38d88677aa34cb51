"""Virtual rasters (VRT): read, checked against what is allowed, and written anew before GDAL sees them.

A VRT names other files, and in its full language also URLs, archives, raw offsets into any file, and code. Only mosaics
and stacks of local rasters pass. GDAL gets the text that is written here from the checked elements, with absolute paths
of checked files, never the file itself, so that a difference between its XML parser and ours opens no gap.
"""

import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bigimage.errors import DataError, InputError, Unsupported
from bigimage.sources.raster_formats import driver_for, resolved

LARGEST = 32 * 1024 * 1024
"""Bytes of XML, those of nested VRTs counted each time they are named."""
MOST_ELEMENTS = 1_000_000
"""Elements of one file."""
DEEPEST = 4
"""VRTs within VRTs."""
LISTED = 10
"""Problems that one error lists."""
_FOREIGN = frozenset({"ENVI", "NSIDCbin"})
"""Raw formats told by more than their first bytes: as members, GDAL might take them for something else."""


@dataclass(frozen=True, slots=True)
class VirtualRaster:
    """A VRT that passed."""

    text: str
    """XML for GDAL, with absolute paths."""
    members: tuple[Path, ...]
    """Every file it reads, each once."""
    resampled: tuple[Path, ...] = ()
    """Members that are not taken pixel by pixel."""
    names_crs: bool = False
    """Whether it names a CRS."""


@dataclass(slots=True)
class _Check:
    """What is gathered while the elements are walked."""

    name: str
    """File name of the outermost VRT, for messages."""
    roots: tuple[Path, ...]
    members: dict[Path, None] = field(default_factory=dict)
    resampled: dict[Path, None] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    names_crs: bool = False
    budget: int = field(default_factory=lambda: LARGEST)
    """Bytes of XML that may still be read."""
    known: dict[Path, tuple[Path, str] | None] = field(default_factory=dict)
    """Real path and driver of each member looked at so far; None where there is a problem with it."""


def check_vrt(path: Path, roots: tuple[Path, ...] = ()) -> VirtualRaster:
    """Check a VRT; its members lie below its own folder or one of `roots`, symbolic links followed.

    Raises DataError for broken XML and missing members, InputError for members that may not be read, Unsupported for
    parts of the language that are not followed; each names all problems found.
    """
    real = resolved(path)
    allowed = (real.parent, *(resolved(root) for root in roots))
    check = _Check(path.name, allowed)
    text = _rewritten(real, check, parents=())
    if check.problems:
        listed = tuple(check.problems[:LISTED])
        more = len(check.problems) - len(listed)
        raise DataError(f"{path.name} cannot be read", (*listed, *((f"and {more} more",) if more else ())))
    return VirtualRaster(text, tuple(check.members), tuple(check.resampled), check.names_crs)


def _rewritten(path: Path, check: _Check, *, parents: tuple[Path, ...]) -> str:
    """Text of a VRT file after its check; problems with members are gathered, anything else raises."""
    if path in parents or len(parents) >= DEEPEST:
        raise InputError(f"{check.name} nests VRTs in a circle or more than {DEEPEST} deep, at {path.name}")
    root = _parse(path, check)
    if root.tag != "VRTDataset":
        raise DataError(f"{path.name} is no VRT: its root is <{root.tag}>, not <VRTDataset>")
    if not parents:
        check.names_crs = bool((root.findtext("SRS") or "").strip())
    context = _Context(path, check, (*parents, path))
    return ET.tostring(context.rewrite(root, _GRAMMAR["VRTDataset"]), encoding="unicode")


class _Builder(ET.TreeBuilder):
    """Builds elements; refuses too many, and document types, and with them every entity."""

    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    def start(self, tag: Any, attrs: dict[Any, Any], /) -> ET.Element:
        self._count += 1
        if self._count > MOST_ELEMENTS:
            raise InputError(f"it has more than {MOST_ELEMENTS:,} elements; split it, or make it one GeoTIFF")
        return super().start(tag, attrs)

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise InputError("it has a document type declaration, which no VRT needs")


def _parse(path: Path, check: _Check) -> ET.Element:
    """Root element of a VRT file. Raises InputError when it is too large, DataError when it is not XML in UTF-8."""
    size = path.stat().st_size
    check.budget -= size
    if check.budget < 0:
        raise InputError(f"{check.name} has more than {LARGEST // 2**20} MB of XML; split it, or make it one GeoTIFF")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name} is not XML in UTF-8: {error}") from error
    parser = ET.XMLParser(target=_Builder())  # noqa: S314  # the builder refuses what makes XML unsafe
    try:
        parser.feed(_without_declaration(text))
        return parser.close()
    except ET.ParseError as error:
        raise DataError(f"{path.name} is not well-formed XML: {error}") from error
    except InputError as error:
        raise InputError(f"{path.name}: {error}") from error


def _without_declaration(text: str) -> str:
    """Text without `<?xml …?>`, so that no encoding but the checked one is believed."""
    start = text.lstrip()
    return start.partition("?>")[2] if start.startswith("<?xml") else start


@dataclass(frozen=True, slots=True)
class _Element:
    """What an element may hold."""

    attributes: frozenset[str] = frozenset()
    children: Mapping[str, "_Element"] = field(default_factory=dict[str, "_Element"])
    text: bool = False
    dropped: bool = False
    """Whether it is left out: statistics and overviews, which are never used."""
    rewrite: Callable[["_Context", ET.Element], None] | None = None
    """Step that changes the new element after it was copied."""


@dataclass(frozen=True, slots=True)
class _Context:
    """Where the walk is: one VRT file, and the files that led to it."""

    path: Path
    check: _Check
    parents: tuple[Path, ...]

    def rewrite(self, element: ET.Element, grammar: _Element) -> ET.Element:
        """Copy of an element, of its allowed parts only. Raises Unsupported for any other part."""
        new = ET.Element(element.tag)
        for name, value in element.attrib.items():
            # GDAL's parser minds no case; two spellings of one name would be a way round the checks
            if name.lower() not in grammar.attributes or name.lower() in new.attrib:
                self.refuse(f"attribute {name}={value!r} of <{element.tag}>")
            new.attrib[name.lower()] = value
        if element.text and element.text.strip():
            if not grammar.text:
                self.refuse(f"text in <{element.tag}>")
            new.text = element.text
        for child in element:
            inner = grammar.children.get(child.tag)
            if inner is None:
                self.refuse(f"<{child.tag}> in <{element.tag}>")
            elif not inner.dropped:
                new.append(self.rewrite(child, inner))
            if child.tail and child.tail.strip():
                self.refuse(f"text in <{element.tag}>")
        if grammar.rewrite is not None:
            grammar.rewrite(self, new)
        return new

    def refuse(self, what: str) -> None:
        """Raise Unsupported for a part of the language that is not followed."""
        raise Unsupported(
            f"{self.path.name} uses {what[:200]}, which is not followed: of VRTs only mosaics and stacks of local "
            "rasters are read. Make it a GeoTIFF with gdal_translate"
        )


def _plain(context: _Context, new: ET.Element) -> None:
    """Refuse datasets and bands that are warped, derived, raw or otherwise more than a set of sources."""
    subclass = new.attrib.pop("subclass", "VRTSourcedRasterBand")
    if subclass != "VRTSourcedRasterBand":
        context.refuse(f"subClass {subclass}")


def _source(context: _Context, new: ET.Element) -> None:
    """Make the member's path absolute; note whether its pixels are resampled, and keep its overviews out of that."""
    name = new.find("SourceFilename")
    if name is None:
        context.refuse(f"<{new.tag}> without a <SourceFilename>")
        return
    member = _member(context, name)
    if member is None:
        return
    if _resamples(new):
        context.check.resampled[member] = None
        options = ET.Element("OpenOptions")
        ET.SubElement(options, "OOI", key="OVERVIEW_LEVEL").text = "NONE"
        new.insert(1, options)


def _resamples(source: ET.Element) -> bool:
    """Whether a source is scaled, or shifted by parts of a pixel."""
    numbers: list[list[float]] = []
    for tag in ("SrcRect", "DstRect"):
        rect = source.find(tag)
        if rect is None:
            return False
        try:
            numbers.append([float(rect.attrib.get(key, "nan")) for key in ("xoff", "yoff", "xsize", "ysize")])
        except ValueError:
            return True
    (sx, sy, sw, sh), (dx, dy, dw, dh) = numbers
    return (sw, sh) != (dw, dh) or any(v % 1 != 0 for v in (sx - dx, sy - dy))


def _member(context: _Context, name: ET.Element) -> Path | None:
    """Path of a member, checked and written into the element; None when there is a problem with it."""
    text = name.text or ""
    check = context.check
    relative = name.attrib.get("relativetovrt", "0") == "1"
    path = Path(context.path.parent, text) if relative else Path(text)
    if path not in check.known:
        check.known[path] = _look_up(path, text, check)
    found = check.known[path]
    if found is None:
        return None
    real, driver = found
    name.attrib.clear()
    name.attrib["relativeToVRT"] = "0"
    name.text = _rewritten(real, check, parents=context.parents) if driver == "VRT" else str(real)
    return real


def _look_up(path: Path, text: str, check: _Check) -> tuple[Path, str] | None:
    """Member that a VRT names by `text`, and its driver; None when there is a problem with it."""
    if text.startswith("<") or "://" in text or text.lstrip("/").startswith("vsi"):
        raise InputError(
            f"{check.name} names {text[:200]!r}: only files on this machine are read, no URLs, archives or inline XML"
        )
    real = resolved(path)
    if not any(real.is_relative_to(root) for root in check.roots):
        raise InputError(
            f"{check.name} names {text[:200]!r}, which lies outside its own folder; put the files together, or allow "
            "that folder as a root"
        )
    driver = driver_for(real)
    if driver is None or driver in _FOREIGN:
        state = "is no raster that a VRT may hold" if real.exists() else "does not exist"
        check.problems.append(f"its member {text[:200]!r} {state}")
        return None
    check.members[real] = None
    return real, driver


def _grammar() -> dict[str, _Element]:
    """The part of the language that is followed (GDAL's data/gdalvrt.xsd has all of it), attributes in lower case."""

    def leaf(*attributes: str, text: bool = True) -> _Element:
        return _Element(frozenset(attributes), text=text)

    dropped = _Element(dropped=True)
    rect = leaf("xoff", "yoff", "xsize", "ysize", text=False)
    metadata = _Element(frozenset({"domain"}), {"MDI": leaf("key")})
    srs = leaf("dataaxistosrsaxismapping", "coordinateepoch")
    control = leaf("id", "info", "pixel", "line", "x", "y", "z", "gcpz", text=False)
    controls = _Element(frozenset({"projection", "dataaxistosrsaxismapping", "coordinateepoch"}), {"GCP": control})
    properties = leaf("rasterxsize", "rasterysize", "datatype", "blockxsize", "blockysize", text=False)
    simple: dict[str, _Element] = {
        "SourceFilename": leaf("relativetovrt", "shared"),
        "SourceBand": leaf(),
        "SourceProperties": properties,
        "SrcRect": rect,
        "DstRect": rect,
    }
    arithmetic = ("ScaleOffset", "ScaleRatio", "ColorTableComponent", "Exponent", "SrcMin", "SrcMax")
    more = ("DstMin", "DstMax", "Clamp", "NODATA", "UseMaskBand", "LUT")
    resampling = frozenset({"resampling"})
    table = _Element(children={"Entry": leaf("c1", "c2", "c3", "c4", text=False)})
    band: dict[str, Any] = {
        **{tag: leaf() for tag in ("Description", "UnitType", "Offset", "Scale", "ColorInterp", "NoDataValue")},
        **dict.fromkeys(("Histograms", "GDALRasterAttributeTable", "Overview", "CategoryNames"), dropped),
        "HideNoDataValue": leaf(),
        "ColorTable": table,
        "Metadata": metadata,
        "SimpleSource": _Element(resampling, simple, rewrite=_source),
        "ComplexSource": _Element(resampling, simple | {t: leaf() for t in (*arithmetic, *more)}, rewrite=_source),
    }
    attributes = frozenset({"datatype", "band", "blockxsize", "blockysize", "subclass"})
    mask = _Element(children={"VRTRasterBand": _Element(attributes, dict(band), rewrite=_plain)})
    band["MaskBand"] = mask
    dataset = {
        "SRS": srs,
        "GeoTransform": leaf(),
        "GCPList": controls,
        "Metadata": metadata,
        "BlockXSize": leaf(),
        "BlockYSize": leaf(),
        "OverviewList": dropped,
        "MaskBand": mask,
        "VRTRasterBand": _Element(attributes, band, rewrite=_plain),
    }
    return {"VRTDataset": _Element(frozenset({"rasterxsize", "rasterysize", "subclass"}), dataset, rewrite=_plain)}


_GRAMMAR = _grammar()
