"""Images without patients: the basic profile of DICOM PS3.15 E.1-1, as dicom-anonymizer (Kitware) implements it.

What is kept of a header (docs/dicom.md) goes through the library's actions for the 2024b table. Attributes that the
profile replaces by dummies are dropped, as nothing here needs a dummy. UIDs are replaced by ones made from a secret and
the old one, so that files read on different days still belong together; without the secret they cannot be traced back.
Pixels are not touched: burned-in text and recognizable faces are the caller's to judge, and a verdict says so.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from bigimage.errors import Unsupported
from bigimage.geometry.frame import PatientFrame
from bigimage.model.image import ImageInfo, Verdict
from bigimage.sources.dicom.verdicts import Code, verdict

IDENTIFIERS = ("study", "series", "frame_of_reference", "instances", "source_instances")
"""Kept entries that hold UIDs."""
NUMBERED_FILE = re.compile(r"file [0-9]+")
PSEUDONYM = "PatientID"
MAY_BE_BURNED_IN = ("US", "SC", "OT", "XA", "RF", "ES", "XC", "CR", "DX", "MG")
"""Modalities whose pixels often carry text; for others a file says so itself."""


class Deidentifier:
    """Replaces what names a patient; the same secret always gives the same replacements."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def uid(self, text: str) -> str:
        """The UID that stands for another one."""
        return str(generate_uid(entropy_srcs=[self._secret, text]))

    def pseudonym(self, text: str) -> str:
        """A name that stands for a patient's identifier."""
        digest = hmac.new(self._secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        return f"anon-{digest[:16]}"

    def attributes(self, kept: Mapping[str, str]) -> dict[str, str]:
        """Attributes that the profile leaves as they are, and a pseudonym in place of the patient's identifier."""
        dataset = Dataset()
        for keyword, text in kept.items():
            setattr(dataset, keyword, text.split("\\") if "\\" in text else text)
        before = {keyword: str(dataset.get(keyword)) for keyword in kept}
        _apply_profile(dataset)
        left = {keyword: text for keyword, text in kept.items() if str(dataset.get(keyword)) == before[keyword]}
        if kept.get(PSEUDONYM):
            left[PSEUDONYM] = self.pseudonym(kept[PSEUDONYM])
        return left

    def image(self, info: ImageInfo, *, burned_in: str | None) -> ImageInfo:
        """An image's description without its patient. `burned_in` is the value of Burned In Annotation."""
        frame = info.grid.frame
        if isinstance(frame, PatientFrame) and frame.uid != f"image:{info.id}":
            frame = PatientFrame(self.uid(frame.uid))
        extra = {key: self._replaced(value) if key in IDENTIFIERS else value for key, value in info.extra.items()}
        extra["export"] = self.attributes(info.extra.get("export", {}))
        extra["windows"] = [{**window, "explanation": ""} for window in info.extra.get("windows", ())]
        extra["deidentified"] = {
            "profile": "DICOM PS3.15 basic application level confidentiality profile, 2024b",
            "library": f"dicom-anonymizer {version('dicom-anonymizer')}",
        }
        return replace(
            info,
            grid=replace(info.grid, frame=frame),
            extra=extra,
            verdicts=(*(self._verdict(v) for v in info.verdicts), *_warnings(info, burned_in)),
        )

    def _replaced(self, value: Any) -> Any:
        """A UID, or lists of them, with every text replaced."""
        if isinstance(value, str):
            return self.uid(value)
        return [self._replaced(part) for part in value] if isinstance(value, list) else value

    def _verdict(self, found: Verdict) -> Verdict:
        """A verdict about other instances; files have numbers instead of names already."""
        names = (name if NUMBERED_FILE.fullmatch(name) else self.uid(name) for name in found.instances)
        return replace(found, instances=tuple(names))


def _apply_profile(dataset: Dataset) -> None:
    """Carry out the profile's actions on a data set. Raises Unsupported without the library."""
    try:
        from dicomanonymizer.simpledicomanonymizer import anonymize_dataset, initialize_actions_2024b
    except ModuleNotFoundError as error:
        raise Unsupported("de-identification needs dicom-anonymizer: pip install bigimage[deidentify]") from error
    anonymize_dataset(dataset, base_rules_gen=initialize_actions_2024b)


def _warnings(info: ImageInfo, burned_in: str | None) -> list[Verdict]:
    """What the profile does not cover."""
    message = "names, dates and UIDs of the files were removed or replaced; pixels were not looked at"
    found = [verdict(Code.DEIDENTIFIED, message)]
    if (burned_in or "").upper() == "YES":
        found.append(
            verdict(Code.BURNED_IN, "the file says that text is burned into its pixels; it may name the patient")
        )
    elif not burned_in and info.extra.get("modality") in MAY_BE_BURNED_IN:
        message = "the file does not say whether text is burned into its pixels; look before you share it"
        found.append(verdict(Code.BURNED_IN, message))
    return found
