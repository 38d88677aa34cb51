"""Coded terms, identities and colours in DICOM objects.

Sources: DICOM PS3.3 8.8 (code sequences), PS3.5 B.2 (UIDs from UUIDs), PS3.3 C.10.7.1.1 (CIELab values); the sRGB
standard and Bradford's adaptation to the D50 of the profile connection space.
"""

from collections.abc import Iterable
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from bigimage.model.labels import Code

UNSPECIFIED = Code(scheme="99BIGIMAGE", value="unspecified", meaning="Unspecified")
"""What stands where nobody gave a code: a private one that says so, never somebody else's."""
BACKGROUND = Code(scheme="DCM", value="125040", meaning="Background")
SHORT = 16
"""Longest code value that is no long one (SH)."""

_TO_XYZ = np.array(
    [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]]
)
"""Linear sRGB → XYZ of D50, adapted by Bradford."""
_D50 = _TO_XYZ.sum(axis=1)


def uid_of(*key: object) -> str:
    """UID made from a key: the same key always gives the same one."""
    return f"2.25.{uuid5(NAMESPACE_URL, chr(31).join(['bigimage', *map(str, key)])).int}"


def code_item(code: Code | None) -> Dataset:
    """Item of a code sequence; `UNSPECIFIED` for None."""
    code = code or UNSPECIFIED
    item = Dataset()
    if code.value.startswith(("urn:", "http:", "https:")):
        item.URNCodeValue = code.value
    elif len(code.value) > SHORT:
        item.LongCodeValue = code.value
    else:
        item.CodeValue = code.value
    if "URNCodeValue" not in item:
        item.CodingSchemeDesignator = code.scheme[:SHORT]
    item.CodeMeaning = text(code.meaning, 64) or code.value[:64]
    return item


def code_sequence(code: Code | None) -> Any:
    """Code sequence of one item."""
    return Sequence([code_item(code)])


def code_of(items: Any) -> Code | None:
    """Code of the first item of a sequence; None where there is none, or the private code for it."""
    if not isinstance(items, Iterable):
        return None
    for item in items:
        if not isinstance(item, Dataset):
            return None
        value = item.get("CodeValue") or item.get("LongCodeValue") or item.get("URNCodeValue")
        scheme = item.get("CodingSchemeDesignator") or ("URN" if item.get("URNCodeValue") else None)
        if not value or not scheme or scheme == UNSPECIFIED.scheme:
            return None
        return Code(scheme=str(scheme), value=str(value), meaning=str(item.get("CodeMeaning") or value))
    return None


def text(value: str, longest: int) -> str:
    """Text that fits a single-valued string element: one line, no backslash, cut to its length."""
    return " ".join(value.replace("\\", "/").split())[:longest]


def to_cielab(red: int, green: int, blue: int) -> tuple[int, int, int]:
    """Colour of 8-bit sRGB as the 16-bit CIELab of DICOM."""
    channels = np.array([red, green, blue]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    part = _TO_XYZ @ linear / _D50
    root = np.where(part > 216 / 24389, np.cbrt(part), (24389 / 27 * part + 16) / 116)
    lab = (116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2]))
    scaled = (lab[0] * 65535 / 100, (lab[1] + 128) * 65535 / 255, (lab[2] + 128) * 65535 / 255)
    light, a, b = (round(min(65535.0, max(0.0, float(v)))) for v in scaled)
    return light, a, b


def from_cielab(values: Iterable[int]) -> tuple[float, float, float]:
    """Inverse of `to_cielab`, channels from 0 to 255; colours outside sRGB reach beyond."""
    light, a, b = (float(v) for v in values)
    light, a, b = light * 100 / 65535, a * 255 / 65535 - 128, b * 255 / 65535 - 128
    y = (light + 16) / 116
    root = np.array([y + a / 500, y, y - b / 200])
    part = np.where(root**3 > 216 / 24389, root**3, (116 * root - 16) * 27 / 24389)
    linear = np.linalg.solve(_TO_XYZ, part * _D50)
    positive = np.maximum(linear, 0.0)
    channels = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * positive ** (1 / 2.4) - 0.055)
    red, green, blue = (float(v) * 255 for v in channels)
    return red, green, blue
