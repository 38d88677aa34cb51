"""Colour maps by name, as 256 colours each."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bigimage.errors import InputError

STOPS: Final[Mapping[str, str]] = {
    "gray": "0:000000 255:ffffff",
    "viridis": "0:440154 29:472878 56:3e4989 92:2d6e8e 121:22898d 150:20a585 164:2cb17d 184:4dc26b 199:6dce58 "
    "234:c7e01f 245:e4e318 255:fde724",
    "magma": "0:000003 22:100c2f 45:301065 57:450f76 92:7c2381 115:a12f7e 146:d3426d 167:ee5b5e 188:fa805e 212:feae76 "
    "255:fbfcbf",
    "inferno": "0:000003 15:090621 41:300a5c 53:450a69 67:5b116e 95:88216a 137:c83e4b 168:eb6527 191:f98c09 "
    "202:fba007 215:fbb91e 227:f7d13c 241:f1eb6c 255:fcfea4",
    "plasma": "0:0c0786 5:1b068c 27:44039e 60:7801a8 80:9511a1 133:d04d73 197:fa9c3b 220:fdbe29 255:eff821",
    "cividis": "0:00224d 20:003070 23:003170 28:11356f 45:2e416c 145:8c8878 202:c6b567 221:dac65a 251:fde234 "
    "255:fde737",
    "turbo": "0:30123b 9:3a2c79 21:434eba 33:466de6 47:4291fe 59:31aff5 70:1ec9dc 83:18e1ba 93:29eea0 119:87fe4d "
    "131:acfa37 151:dde036 166:f6c23a 180:fea12f 193:fa7a1f 214:e24209 230:c32402 255:7a0402",
    "coolwarm": "0:3a4cc0 23:5673e0 59:86a9fc 88:aec9fc 102:c0d3f5 128:dddcdb 149:efcebc 184:f6a486 200:f08b6d "
    "227:d95847 247:bf282e 255:b30326",
    "rdylgn": "0:a50026 24:d42d26 51:f46d43 75:fcaa5f 95:fdd27f 126:fefdbb 128:fefebd 153:d9ef8b 177:a9da6b "
    "204:66bd63 228:1e9a51 255:006837",
    "rdbu": "0:67001f 25:b0172a 50:d45d4b 63:e48065 76:f3a380 102:fddbc7 127:f7f6f6 153:d1e5f0 176:98c8df 204:4393c3 "
    "228:2368ad 255:053061",
    "spectral": "0:9e0142 24:d13a4e 51:f46d43 75:fcaa5f 100:fddc87 127:fefebd 153:e6f598 179:a9dca4 202:6bc4a4 "
    "229:3389bc 255:5e4fa2",
    "blues": "0:f7fbff 61:c8dcef 95:9ecae1 127:6baed6 187:2575b7 221:09539d 255:08306b",
    "ylgnbu": "0:ffffd9 32:ecf7b1 62:c9e9b3 127:41b6c3 155:2196c0 223:243494 255:081d58",
    "hot": "0:0a0000 93:fe0000 190:fffe00 255:ffffff",
    "terrain": "0:333399 38:0098fe 64:01cc66 127:fdfe98 191:805c54 255:ffffff",
}
"""Places and colours between which a map is linear: few enough to read, within 4/255 of the maps that go by these
names elsewhere."""
REVERSED: Final = "_r"
"""What a name ends with to mean its map from the other end."""


def colormap_names() -> tuple[str, ...]:
    """Names of all colour maps, the reversed ones too."""
    return tuple(name + end for name in STOPS for end in ("", REVERSED))


@lru_cache(maxsize=64)
def colormap(name: str) -> NDArray[np.uint8]:
    """The 256 colours (r, g, b, a) of a map, shape (256, 4), read-only. Raises InputError for an unknown name."""
    stops = STOPS.get(name.removesuffix(REVERSED))
    if stops is None:
        raise InputError(f"colormap {name[:40]!r} is not one of {', '.join(STOPS)}, each also with {REVERSED}")
    pairs = [stop.split(":") for stop in stops.split()]
    places = [int(place) for place, _ in pairs]
    colours = np.array([list(bytes.fromhex(colour)) for _, colour in pairs], dtype=np.float64)
    table = np.full((256, 4), 255, np.uint8)
    for channel in range(3):
        table[:, channel] = np.floor(np.interp(np.arange(256), places, colours[:, channel]) + 0.5)
    table = table[::-1].copy() if name.endswith(REVERSED) else table
    table.flags.writeable = False
    return table
