"""Values about files and frames, before any pixel is read."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from bigimage.errors import InputError
from bigimage.sources.dicom.frames import read_frames
from bigimage.sources.dicom.header import Traits, Window
from bigimage.sources.dicom.headers import scan
from bigimage.sources.dicom.silence import quiet
from tests.unit.sources.dicom.series import save, slice_of_ct


@pytest.mark.parametrize(
    ("window", "shown"),
    [
        (Window(40, 400), (-160.0, 239.0)),
        (Window(40, 400, function="LINEAR_EXACT"), (-160.0, 240.0)),
        (Window(0.5, 1), (0.0, 1.0)),
    ],
)
def test_ranges_of_windows(window: Window, shown: tuple[float, float]) -> None:
    """PS3.3 C.11.2.1.2: LINEAR counts from centre - 0.5 over width - 1."""
    assert window.range == shown


def test_traits_are_read_when_somebody_asks_and_once() -> None:
    calls: list[int] = []

    def read() -> Mapping[str, float | str]:
        calls.append(1)
        return {"echo": 1.0}

    traits = Traits(read)
    assert calls == []
    assert (traits["echo"], list(traits), len(traits), traits.get("other")) == (1.0, ["echo"], 1, None)
    assert calls == [1]


def test_a_frame_without_a_place_says_so(tmp_path: Path) -> None:
    ds = slice_of_ct(0)
    del ds.ImagePositionPatient
    save([ds], tmp_path)
    with quiet():
        ((frame,), _) = read_frames(scan([tmp_path]).headers[0])
    assert frame.plane is None
    assert not frame.is_localizer
    with pytest.raises(InputError, match="no place in the patient"):
        _ = frame.place
