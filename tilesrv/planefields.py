"""The parameters of planes of volumes, each declared once."""

from dataclasses import dataclass

from bigimage.geometry.planes import PLANES
from bigimage.resample import oblique
from tilesrv.fields import BANDS, COLORMAP, FORMAT, IMAGE_ID, NODATA, RESCALE, TILE_SIZE, TIME, WINDOW
from tilesrv.params import Table, choice, integer, numbers, switch, text
from tilesrv.render import Format
from tilesrv.sections import PIXELS
from tilesrv.windows import PlaneQuery

FAR = 1e6
OBLIQUE_SIDE = 4096


@dataclass(frozen=True, slots=True)
class PlanePath:
    """Path of one kind of planes."""

    id: str
    plane: str


@dataclass(frozen=True, slots=True)
class SlicePath:
    """Path of one plane."""

    id: str
    plane: str
    index: int


@dataclass(frozen=True, slots=True)
class PicturePath:
    """Path of a picture of one plane."""

    id: str
    plane: str
    index: int
    fmt: Format


@dataclass(frozen=True, slots=True)
class TilePath:
    """Path of a tile of one plane."""

    id: str
    plane: str
    index: int
    z: int
    x: int
    y: int
    fmt: Format


@dataclass(frozen=True, slots=True)
class ObliquePath:
    """Path of an oblique picture."""

    id: str
    fmt: Format


@dataclass(frozen=True, slots=True)
class TimeQuery:
    """Query of a document about one plane."""

    t: int


@dataclass(frozen=True, slots=True)
class ObliqueQuery(PlaneQuery):
    """Query of an oblique picture."""

    origin: tuple[float, ...] = ()
    u: tuple[float, ...] = ()
    v: tuple[float, ...] = ()
    size: tuple[float, ...] = ()


PLANE = choice("plane", "Kind of planes: the stored ones nearest to the patient's.", PLANES, where="path")
INDEX = integer(
    "index",
    "Number of the plane, from the inferior, anterior or right end; planes are those of the finest level.",
    low=0,
    high=2**31,
    where="path",
)
RESAMPLE = choice(
    "resampling", "How square pixels are made of stored ones. Default: bilinear; nearest for labels.", oblique.METHODS
)
PRESET = text(
    "preset",
    "A range of values by its name; /images/{id}/windows lists them.",
    pattern=r"[a-z0-9][a-z0-9\-]*",
    longest=80,
    example="lung",
)
UNITS = switch("physical", "With npy: values in the modality's unit (HU, SUV, …) as floats, instead of stored ones.")
PIXEL_CHOICE = choice(
    "pixels",
    "`square`: true to scale, resampled where stored pixels are not square or the stack leans. `stored`: the pixels "
    "of a level as they are. Default: square for pictures, stored for npy.",
    PIXELS,
)
LOOK = (BANDS, RESCALE, WINDOW, PRESET, COLORMAP, NODATA, RESAMPLE, TIME, UNITS)
PLANE_PATH = Table((IMAGE_ID, PLANE), PlanePath)
SLICE_PATH = Table((IMAGE_ID, PLANE, INDEX), SlicePath)
PICTURE_PATH = Table((IMAGE_ID, PLANE, INDEX, FORMAT), PicturePath)
TILE_PATH = Table(
    (
        IMAGE_ID,
        PLANE,
        INDEX,
        integer("z", "Zoom; 0 is the coarsest.", low=0, high=30, where="path"),
        integer("x", "Column of the tile, from the left.", low=0, high=2**30, where="path"),
        integer("y", "Row of the tile, from the top.", low=0, high=2**30, where="path"),
        FORMAT,
    ),
    TilePath,
)
OBLIQUE_PATH = Table((IMAGE_ID, FORMAT), ObliquePath)
TILE_QUERY = Table((*LOOK, PIXEL_CHOICE, TILE_SIZE), PlaneQuery)
PICTURE_QUERY = Table(
    (*LOOK, PIXEL_CHOICE, integer("max_size", "Longest side in pixels; halved until it fits.", low=1, high=1 << 16)),
    PlaneQuery,
)
TIME_QUERY = Table((TIME,), TimeQuery)
PLACE = (
    numbers(
        "origin",
        "Centre of the first pixel (top left), x,y,z in LPS millimetres.",
        counts=(3,),
        low=-FAR,
        high=FAR,
        required=True,
        example=[-120, -90, 30],
    ),
    numbers(
        "u",
        "Way from one pixel to the next on its right, mm.",
        counts=(3,),
        low=-FAR,
        high=FAR,
        required=True,
        example=[1, 0, 0],
    ),
    numbers(
        "v",
        "Way from one pixel to the next below, mm.",
        counts=(3,),
        low=-FAR,
        high=FAR,
        required=True,
        example=[0, 0.7, -0.7],
    ),
    numbers(
        "size",
        "Width and height in pixels.",
        counts=(2,),
        low=1,
        high=OBLIQUE_SIDE,
        whole=True,
        required=True,
        example=[256, 256],
    ),
)
OBLIQUE_QUERY = Table((*PLACE, *LOOK), ObliqueQuery)
PLACE_QUERY = Table(PLACE, ObliqueQuery)
