"""What the stored numbers of an image mean: slopes and units, SUV, display windows, padding.

Sources: DICOM PS3.3 C.11.1 (modality LUT), C.11.2 (VOI LUT), C.7.5.1.1.2 (pixel padding), C.8.9.1 (PET series); the
body-weight SUV of the QIBA profile for FDG-PET.
"""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta

from bigimage.sources.dicom.elements import Elements
from bigimage.sources.dicom.header import BIG_ENDIAN, FileHeader, Layout, Values, Window
from bigimage.sources.dicom.layout import table_entries
from bigimage.sources.dicom.verdicts import Refusal

UNITS = {"HU": "HU", "US": None, "OD": "optical density", "MGML": "mg/ml", "Z_EFF": None, "NORMALIZED": None}
"""Units by Rescale Type; US means unspecified."""
PET_UNITS = {
    **{"BQML": "Bq/ml", "CNTS": "counts", "CPS": "counts/s", "PROPCPS": None, "PROPCNTS": None, "NONE": None},
    **{"CM2": "cm2", "CM2ML": "cm2/ml", "PCNT": "%", "MLMING": "ml/min/g", "MLMINML": "ml/min/ml", "GML": "SUV"},
    **{"STDDEV": None, "UMOLMINML": "umol/min/ml", "MLG": "ml/g", "1CM": "1/cm", "UMOLML": "umol/ml"},
}
"""Units by the PET attribute Units; GML is the body-weight SUV in g/ml."""
DOSE_UNITS = {"GY": "Gy", "RELATIVE": None}


def read_values(header: FileHeader, layout: Layout, groups: Sequence[Elements], modality: str) -> Values:
    """Meaning of one frame's numbers; `groups` are the data sets to look in, the most specific first."""
    slope, intercept, unit = _rescale(groups)
    top = header.elements
    stated = slope is not None
    if "DoseGridScaling" in top:
        slope, stated = top.number("DoseGridScaling"), True
        unit = DOSE_UNITS.get((top.text("DoseUnits") or "").upper())
    if modality == "PT":
        unit = PET_UNITS.get((top.text("Units") or "").upper(), unit)
        if unit == "SUV" and (top.text("SUVType") or "BW") != "BW":
            unit = f"SUV ({top.text('SUVType')})"
    elif modality == "CT" and unit is None and stated and not _states_type(groups):
        unit = "HU"  # PS3.3 C.8.2.1: the type may be left out only where it is HU
    if slope == 0:
        top.faults["RescaleSlope"] = "is zero"
        slope, stated = None, False
    return Values(
        slope=1.0 if slope is None else slope,
        intercept=(intercept or 0.0) if stated else 0.0,
        stated=stated,
        unit=unit,
        lut=_modality_table(header),
        padding=_padding(top, layout),
        windows=_windows(groups),
        voi_table=any("VOILUTSequence" in group for group in groups),
    )


def _rescale(groups: Sequence[Elements]) -> tuple[float | None, float | None, str | None]:
    """(slope, intercept, unit) of the first data set that states a slope."""
    for group in groups:
        if "RescaleSlope" in group or "RescaleIntercept" in group:
            slope = group.number("RescaleSlope")
            intercept = group.number("RescaleIntercept")
            kind = group.text("RescaleType")
            usable = slope is not None or "RescaleSlope" not in group
            return (1.0 if slope is None else slope) if usable else None, intercept, UNITS.get((kind or "").upper())
    for group in groups:
        if "RealWorldValueSlope" in group:
            code = group.item("MeasurementUnitsCodeSequence")
            unit = code.text("CodeValue") if code is not None else None
            return group.number("RealWorldValueSlope"), group.number("RealWorldValueIntercept"), unit
    return None, None, None


def _states_type(groups: Sequence[Elements]) -> bool:
    return any("RescaleType" in group for group in groups)


def _modality_table(header: FileHeader) -> tuple[int, tuple[int, ...]] | None:
    """First stored value and outputs of a modality table; None where there is none or it is damaged."""
    item = header.elements.item("ModalityLUTSequence")
    if item is None:
        return None
    descriptor, data = item.numbers("LUTDescriptor"), item.binary("LUTData")
    if len(descriptor) != 3 or data is None:
        header.elements.faults["ModalityLUTSequence"] = "is incomplete"
        return None
    first = int(descriptor[1])
    if first >= 1 << 15 and header.elements.integer("PixelRepresentation") == 1:
        first -= 1 << 16
    little = header.syntax != BIG_ENDIAN
    try:
        return first, table_entries(data, int(descriptor[0]) or 65536, int(descriptor[2]), little=little)
    except Refusal as refusal:
        header.elements.faults["ModalityLUTSequence"] = refusal.reason
        return None


def _padding(elements: Elements, layout: Layout) -> tuple[int, int] | None:
    """Range of stored values that mark missing pixels, in the signedness of the pixels."""
    value = elements.integer("PixelPaddingValue")
    if value is None or layout.samples != 1 or layout.keyword != "PixelData":
        return None
    limit = elements.integer("PixelPaddingRangeLimit")
    ends = [_in_type(end, layout) for end in (value, value if limit is None else limit)]
    return min(ends), max(ends)


def _in_type(value: int, layout: Layout) -> int:
    """A padding value as a number of the pixels' type; files store it with either sign."""
    span = 1 << layout.bits_allocated
    value %= span
    return value - span if layout.signed and value >= span // 2 else value


def _windows(groups: Sequence[Elements]) -> tuple[Window, ...]:
    """Display windows of the first data set that has any."""
    for group in groups:
        centers, widths = group.numbers("WindowCenter"), group.numbers("WindowWidth")
        if not centers or not widths:
            continue
        names = group.texts("WindowCenterWidthExplanation")
        function = group.text("VOILUTFunction") or "LINEAR"
        return tuple(
            Window(center, width, names[k] if k < len(names) else "", function)
            for k, (center, width) in enumerate(zip(centers, widths, strict=False))
            if width > 0
        )
    return ()


def suv_factor(header: FileHeader) -> tuple[float, None] | tuple[None, str]:
    """Body-weight SUV per Bq/ml, or why it cannot be known.

    SUV = activity concentration / (injected dose, decayed to the time that the image is corrected to / weight).
    """
    top = header.elements
    if (top.text("Units") or "").upper() != "BQML":
        return None, f"units are {top.text('Units') or 'not stated'}, not Bq/ml"
    missing = {"ATTN", "DECY"} - {value.upper() for value in top.texts("CorrectedImage")}
    if missing:
        return None, f"the image is not said to be corrected for {' and '.join(sorted(missing))}"
    dose = top.item("RadiopharmaceuticalInformationSequence")
    weight = top.number("PatientWeight")
    total = dose.number("RadionuclideTotalDose") if dose else None
    half_life = dose.number("RadionuclideHalfLife") if dose else None
    if not weight or weight <= 0:
        return None, "the patient's weight is missing"
    if dose is None or not total or total <= 0 or not half_life or half_life <= 0:
        return None, "the injected dose or its half-life is missing"
    delay = _decay_seconds(top, dose)
    if delay is None:
        return None, "the time from injection to the decay correction is not known"
    decayed = total * math.pow(2.0, -delay / half_life)
    return weight * 1000.0 / decayed, None


def _decay_seconds(top: Elements, dose: Elements) -> float | None:
    """Seconds from injection to the time that the image is corrected to."""
    correction = (top.text("DecayCorrection") or "").upper()
    if correction == "ADMIN":
        return 0.0
    if correction != "START":
        return None
    scan = _moment((top.text("SeriesDate") or "") + (top.text("SeriesTime") or ""))
    acquired = _moment((top.text("AcquisitionDate") or "") + (top.text("AcquisitionTime") or ""))
    if scan is None or acquired is None or scan > acquired:
        # a series time after the acquisition is that of a later reconstruction and says nothing about decay
        return None
    injected = _moment(dose.text("RadiopharmaceuticalStartDateTime") or "")
    if injected is None:
        clock = _moment((top.text("SeriesDate") or "") + (dose.text("RadiopharmaceuticalStartTime") or ""))
        if clock is None:
            return None
        injected = clock if clock <= scan else clock - timedelta(days=1)
    delay = (scan - injected).total_seconds()
    return delay if 0 <= delay < 86400 else None


def _moment(text: str) -> datetime | None:
    """A DICOM date and time, YYYYMMDDHHMMSS with an optional fraction; zones are left out as all are the scanner's."""
    digits = text.replace(":", "").split("+")[0].split("-")[0]
    whole, _, fraction = digits.partition(".")
    if len(whole) < 12 or not whole.isdigit():
        return None
    try:
        moment = datetime.strptime(whole[:14].ljust(14, "0"), "%Y%m%d%H%M%S")
    except ValueError:
        return None
    return moment + timedelta(microseconds=int(fraction[:6].ljust(6, "0"))) if fraction.isdigit() else moment
