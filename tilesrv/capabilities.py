"""The WMTS 1.0.0 capabilities document of one image (OGC 07-057r7). Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from tilesrv.tilesets import MERCATOR, TileSet, crs_urn, ordered, scale_denominator

FORMATS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}
NAMESPACES = (
    'xmlns="http://www.opengis.net/wmts/1.0" xmlns:ows="http://www.opengis.net/ows/1.1" '
    'xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
    'xsi:schemaLocation="http://www.opengis.net/wmts/1.0 '
    'http://schemas.opengis.net/wmts/1.0/wmtsGetCapabilities_response.xsd" '
    'version="1.0.0"'
)
WELL_KNOWN = {MERCATOR: "urn:ogc:def:wkss:OGC:1.0:GoogleMapsCompatible"}


@dataclass(frozen=True, slots=True)
class Layer:
    """What the document says about its one layer."""

    name: str
    service: str
    """Address of the key-value service, without a query."""
    template: str
    """Address of a tile with {TileMatrixSet}, {TileMatrix}, {TileCol}, {TileRow} and {Suffix}."""
    degrees: tuple[float, float, float, float] | None
    """West, south, east, north on WGS 84."""


def _numbers(values: Sequence[float]) -> str:
    """Numbers with all their digits, so that clients find the very same grid."""
    return " ".join(repr(float(v)) for v in values)


def _corners(name: str, bounds: Sequence[float], attributes: str = "") -> str:
    """An ows bounding box."""
    low, high = _numbers(bounds[:2]), _numbers(bounds[2:])
    return (
        f"<ows:{name}{attributes}><ows:LowerCorner>{low}</ows:LowerCorner>"
        f"<ows:UpperCorner>{high}</ows:UpperCorner></ows:{name}>"
    )


def _operations(service: str) -> str:
    """How the service is asked with keys and values."""
    address = quoteattr(service + "?")
    constraint = (
        '<ows:Constraint name="GetEncoding"><ows:AllowedValues><ows:Value>KVP</ows:Value>'
        "</ows:AllowedValues></ows:Constraint>"
    )
    one = f"<ows:DCP><ows:HTTP><ows:Get xlink:href={address}>{constraint}</ows:Get></ows:HTTP></ows:DCP>"
    operations = "".join(f'<ows:Operation name="{n}">{one}</ows:Operation>' for n in ("GetCapabilities", "GetTile"))
    return f"<ows:OperationsMetadata>{operations}</ows:OperationsMetadata>"


def _link(found: TileSet) -> str:
    """Which tiles of a tile set the layer has."""
    rows = "".join(
        f"<TileMatrixLimits><TileMatrix>{m.zoom}</TileMatrix>"
        f"<MinTileRow>{m.limits[0]}</MinTileRow><MaxTileRow>{m.limits[1]}</MaxTileRow>"
        f"<MinTileCol>{m.limits[2]}</MinTileCol><MaxTileCol>{m.limits[3]}</MaxTileCol></TileMatrixLimits>"
        for m in found.matrices
    )
    return (
        f"<TileMatrixSetLink><TileMatrixSet>{found.name}</TileMatrixSet>"
        f"<TileMatrixSetLimits>{rows}</TileMatrixSetLimits></TileMatrixSetLink>"
    )


def _matrix_set(found: TileSet) -> str:
    """Definition of a tile set."""
    if found.frame is None:
        return ""
    known = WELL_KNOWN.get(found.name)
    matrices = "".join(
        f"<TileMatrix><ows:Identifier>{m.zoom}</ows:Identifier>"
        f"<ScaleDenominator>{scale_denominator(m.cell, found.frame)!r}</ScaleDenominator>"
        f"<TopLeftCorner>{_numbers(ordered(m.origin, found.frame))}</TopLeftCorner>"
        f"<TileWidth>{found.tile}</TileWidth><TileHeight>{found.tile}</TileHeight>"
        f"<MatrixWidth>{m.columns}</MatrixWidth><MatrixHeight>{m.rows}</MatrixHeight></TileMatrix>"
        for m in found.matrices
    )
    return (
        f"<TileMatrixSet><ows:Identifier>{found.name}</ows:Identifier>"
        f"<ows:SupportedCRS>{escape(crs_urn(found.frame) or '')}</ows:SupportedCRS>"
        + (f"<WellKnownScaleSet>{known}</WellKnownScaleSet>" if known else "")
        + f"{matrices}</TileMatrixSet>"
    )


def _place(degrees: tuple[float, float, float, float] | None) -> str:
    """Bounding box on WGS 84; the whole width where the image crosses the antimeridian."""
    if degrees is None:
        return ""
    west, south, east, north = degrees
    return _corners("WGS84BoundingBox", (-180.0, south, 180.0, north) if west > east else degrees)


def _boxes(found: Sequence[TileSet]) -> str:
    """Bounding boxes in the CRS of each tile set, in the axis order that its authority wants."""
    parts: list[str] = []
    for item in found:
        if item.frame is not None:
            x0, y0, x1, y1 = item.bounds
            corners = [*ordered((x0, y0), item.frame), *ordered((x1, y1), item.frame)]
            parts.append(_corners("BoundingBox", corners, f" crs={quoteattr(crs_urn(item.frame) or '')}"))
    return "".join(parts)


def document(layer: Layer, found: Sequence[TileSet]) -> str:
    """Capabilities of one image; `found` are tile sets whose CRS has an authority's code."""
    formats = "".join(f"<Format>{kind}</Format>" for kind in FORMATS)
    resources = "".join(
        f'<ResourceURL format={quoteattr(kind)} resourceType="tile" '
        f"template={quoteattr(layer.template.replace('{Suffix}', suffix))}/>"
        for kind, suffix in FORMATS.items()
    )
    name = escape(layer.name)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Capabilities {NAMESPACES}>'
        "<ows:ServiceIdentification><ows:Title>bigimage</ows:Title><ows:ServiceType>OGC WMTS</ows:ServiceType>"
        "<ows:ServiceTypeVersion>1.0.0</ows:ServiceTypeVersion></ows:ServiceIdentification>"
        f"{_operations(layer.service)}<Contents><Layer><ows:Title>{name}</ows:Title>"
        f"{_place(layer.degrees)}<ows:Identifier>{name}</ows:Identifier>{_boxes(found)}"
        '<Style isDefault="true"><ows:Identifier>default</ows:Identifier></Style>'
        f"{formats}{''.join(map(_link, found))}{resources}</Layer>"
        f"{''.join(map(_matrix_set, found))}</Contents>"
        f"<ServiceMetadataURL xlink:href={quoteattr(layer.service)}/></Capabilities>"
    )
