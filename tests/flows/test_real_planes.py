"""Real series in, planes out: pixels and places against what pydicom says about each instance."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pydicom
import pytest

from bigimage.settings import Settings
from bigimage.workspace import Workspace, open_workspace
from tests.unit.tilesrv.conftest import serving
from tilesrv.app import create_app

SERIES = {
    "axial": ("ct_phantom_axial", "axial"),
    "tilt": ("ct_phantom_tilt_p16", "axial"),
    "untagged": ("ct_tilt_no_tag", "axial"),
    "uneven": ("ct_nonuniform_spacing", "axial"),
    "oblique": ("mr_nonisotropic_per_slice_rescale", "axial"),
    "j2k": ("mr_j2k_series", "sagittal"),
    "small": ("ct_93_slices_64px", "axial"),
}
"""Image id: folder, and the planes that the slices are."""


@pytest.fixture(scope="module")
def workspace(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    space = open_workspace(settings=Settings(workspace=tmp_path_factory.mktemp("real"), workers=1))
    for name, (folder, _) in SERIES.items():
        space.ingest(shared_data / "dicom" / folder / "in", name=name)
    return space


@pytest.fixture(scope="module")
def client(workspace: Workspace) -> Iterator[httpx.Client]:
    with serving(create_app(workspace)) as address, httpx.Client(base_url=address, timeout=120) as made:
        yield made


@pytest.fixture(scope="module")
def instances(shared_data: Path) -> dict[str, Any]:
    """Data sets by SOP instance UID."""
    found: dict[str, Any] = {}
    for folder, _ in SERIES.values():
        for path in sorted((shared_data / "dicom" / folder / "in").rglob("*")):
            if path.is_file():
                dataset = pydicom.dcmread(path, force=True)
                found[str(dataset.SOPInstanceUID)] = dataset
    return found


def raw(client: httpx.Client, address: str) -> np.ndarray:
    answer = client.get(address)
    assert answer.status_code == 200, answer.text
    return np.load(io.BytesIO(answer.content))[0]


def planes_of(client: httpx.Client, image: str) -> dict[str, Any]:
    return {told["plane"]: told for told in client.get(f"/images/{image}/planes").json()["planes"]}


@pytest.mark.parametrize("image", SERIES)
def test_each_slice_is_its_instance_and_lies_where_it_says(
    client: httpx.Client, instances: dict[str, Any], image: str
) -> None:
    plane = SERIES[image][1]
    told = planes_of(client, image)[plane]
    positions: list[float] = []
    for index in range(told["count"]):
        document = client.get(f"/images/{image}/planes/{plane}/{index}").json()
        dataset = instances[document["instance"]["sop_instance_uid"]]
        shown = raw(client, f"/images/{image}/planes/{plane}/{index}.npy")
        affine = np.array(document["stored"]["grid"]["affine"])
        row, column = np.array(dataset.ImageOrientationPatient).reshape(2, 3)
        dy, dx = dataset.PixelSpacing
        # the world point of every displayed pixel, back to the instance's own row and column (PS3.3 C.7.6.2.1.1)
        rows, columns = np.indices(shown.shape)
        points = np.stack([np.full(shown.shape, 0.5), rows + 0.5, columns + 0.5, np.ones(shown.shape)], -1) @ affine.T
        way = points - np.array(dataset.ImagePositionPatient)
        at_row, at_column = way @ column / dy, way @ row / dx
        assert np.abs(way @ np.cross(row, column)).max() < 0.02, "the picture lies in the instance's plane"
        found = dataset.pixel_array[np.round(at_row).astype(int), np.round(at_column).astype(int)]
        assert np.abs(at_row - np.round(at_row)).max() < 0.05
        assert (shown == found).all()
        positions.append(document["position"])
    assert (np.diff(positions) > 0).all()


@pytest.mark.parametrize("image", SERIES)
def test_the_way_that_pictures_point(client: httpx.Client, image: str) -> None:
    letters = {plane: told["letters"] for plane, told in planes_of(client, image).items()}
    principal = {
        plane: "".join(told[edge][0] for edge in ("left", "right", "top", "bottom")) for plane, told in letters.items()
    }
    assert principal == {"axial": "RLAP", "coronal": "RLHF", "sagittal": "APHF"}


@pytest.mark.parametrize(("image", "tilt"), [("tilt", 16.5), ("untagged", 14.0)])
def test_tilted_series_are_shown_upright(client: httpx.Client, image: str, tilt: float) -> None:
    told = planes_of(client, image)
    assert 2 in {len(letters) for letters in told["axial"]["letters"].values()}
    document = client.get(f"/images/{image}/planes/sagittal/256").json()
    matrix = np.array(document["grid"]["affine"])
    down, right = matrix[:, 1], matrix[:, 2]
    assert abs(down @ right) < 1e-6
    assert np.linalg.norm(down) == pytest.approx(np.linalg.norm(right))
    stored = np.array(document["stored"]["grid"]["affine"])
    cosine = stored[:, 1] @ stored[:, 2] / np.linalg.norm(stored[:, 1]) / np.linalg.norm(stored[:, 2])
    assert abs(np.degrees(np.arcsin(cosine))) == pytest.approx(tilt, abs=1)


def test_gaps_are_shown_at_their_length(client: httpx.Client) -> None:
    told = client.get("/images/uneven/planes/coronal").json()
    document = client.get("/images/uneven/planes/coronal/256").json()
    assert document["stored"]["uneven"] is True
    rows = told["shape"][0] * told["spacing"][0]
    # slices at 0, 5, 10 and 20 mm: 20 mm, and half a distance at either end
    assert rows == pytest.approx(20 + 2.5 + 5, abs=1)


def test_values_across_slices_are_in_one_unit(client: httpx.Client, instances: dict[str, Any]) -> None:
    physical = raw(client, "/images/oblique/planes/coronal/9.npy?physical=true")
    slopes: list[float] = []
    intercepts: list[float] = []
    for index in range(physical.shape[0]):
        document = client.get(f"/images/oblique/planes/axial/{index}").json()
        dataset = instances[document["instance"]["sop_instance_uid"]]
        slopes.append(float(dataset.RescaleSlope))
        intercepts.append(float(dataset.RescaleIntercept))
    assert len(set(slopes)) == 4
    stored = raw(client, "/images/oblique/planes/coronal/9.npy")
    # axial planes are counted from the feet, which are at the bottom of coronal pictures
    expected = stored[::-1] * np.reshape(slopes, (-1, 1)) + np.reshape(intercepts, (-1, 1))
    assert np.allclose(physical[::-1], expected, rtol=1e-5)
