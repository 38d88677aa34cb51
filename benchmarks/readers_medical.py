"""Segmentations of a scan exchanged with dcmqi both ways, voxel by voxel.

    python -m benchmarks.readers_medical [--venv DIR]

dcmqi, the converter behind 3D Slicer's DICOM segmentations, lives in the environment of `benchmarks.readers`. It reads
what we export, and we import what it makes of a label volume of ours. Prints what came out, and fails where a voxel
differs.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from benchmarks.readers import make_environment
from bigimage import open_workspace
from bigimage.geometry.grid import Grid
from bigimage.model.mask import Mask
from bigimage.workspace import Workspace
from fixtures.phantom import ct_series

if TYPE_CHECKING:
    from numpy.typing import NDArray

LABELS: list[dict[str, Any]] = [
    {"name": "liver", "value": 1, "code": {"scheme": "SCT", "value": "10200004", "meaning": "Liver"}},
    {"name": "kidney", "value": 5, "code": {"scheme": "SCT", "value": "64033007", "meaning": "Kidney"}},
]
ORGAN = {"CodeValue": "123037004", "CodingSchemeDesignator": "SCT", "CodeMeaning": "Anatomical Structure"}


def draw(folder: Path, scan: Path) -> Workspace:
    """A workspace with a scan."""
    space = open_workspace(folder)
    space.ingest(scan, name="ct")
    space.annotations.set_schema({"labels": LABELS})
    return space


def paint(space: Workspace) -> "NDArray[np.int64]":
    """Draw a hollow ball and a corner, paint them, and hand back the voxels."""
    grid = space.image("ct").info.grid
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in grid.shape), indexing="ij")
    radius = z**2 + y**2 + x**2
    ball, corner = (radius < 0.5) & (radius > 0.1), (x > 0.8) & (y > 0.8)
    for bits, label in ((ball, "liver"), (corner, "kidney")):
        space.annotations.add("ct", Mask.of(grid, bits), label=label)
    return painted(space)


def painted(space: Workspace) -> "NDArray[np.int64]":
    """Voxels of the annotations of the scan."""
    space.rasterize("ct", layer="organs")
    return space.layer("ct", "organs").pyramid.read_index((slice(None),) * 3).array[0].astype(np.int64)


def on_grid(path: Path, grid: Grid) -> "NDArray[np.int64]":
    """Voxels of a label volume on the grid of the scan, by their places in space."""
    image = sitk.ReadImage(path)
    found = sitk.GetArrayFromImage(image)
    matrix = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    at = np.argwhere(found > 0)
    index = grid.to_index(at[:, ::-1] @ matrix.T + image.GetOrigin())
    if np.abs(index - np.floor(index) - 0.5).max(initial=0) > 1e-3:
        raise AssertionError(f"{path.name}: its voxels lie beside those of the scan")
    out = np.zeros(grid.shape, np.int64)
    out[tuple(np.floor(index).astype(int).T)] = found[found > 0]
    return out


def read_by_dcmqi(programs: Path, file: Path, folder: Path, grid: Grid) -> "NDArray[np.int64]":
    """What dcmqi makes of a segmentation."""
    folder.mkdir()
    words = ["--inputDICOM", file, "--outputDirectory", folder, "--outputType", "nrrd", "--mergeSegments"]
    subprocess.run([programs / "segimage2itkimage", *words], check=True, capture_output=True)
    (made,) = folder.glob("*.nrrd")
    return on_grid(made, grid)


def written_by_dcmqi(programs: Path, volume: Path, scan: Path, folder: Path) -> Path:
    """A segmentation that dcmqi makes of a label volume."""
    kinds = [
        {
            "labelID": label["value"],
            "SegmentLabel": label["name"],
            "SegmentAlgorithmType": "MANUAL",
            "SegmentedPropertyCategoryCodeSequence": ORGAN,
            "SegmentedPropertyTypeCodeSequence": {
                "CodeValue": label["code"]["value"],
                "CodingSchemeDesignator": label["code"]["scheme"],
                "CodeMeaning": label["code"]["meaning"],
            },
        }
        for label in LABELS
    ]
    about = {"SeriesDescription": "organs", "SeriesNumber": "300", "InstanceNumber": "1", "segmentAttributes": [kinds]}
    meta, out = folder / "dcmqi.json", folder / "dcmqi.dcm"
    meta.write_text(json.dumps(about | {"ContentCreatorName": "Doe^Jane", "ClinicalTrialTimePointID": "1"}))
    words = ["--inputImageList", volume, "--inputDICOMDirectory", scan, "--inputMetadata", meta, "--outputDICOM", out]
    subprocess.run([programs / "itkimage2segimage", *words], check=True, capture_output=True)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", type=Path, default=Path(".venv-readers"))
    programs = make_environment(parser.parse_args().venv).parent
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scan = folder / "scan"
        ct_series(scan, size=128, slices=24)
        space = draw(folder / "ws", scan)
        due = paint(space)
        grid = space.image("ct").info.grid
        results: dict[str, NDArray[np.int64]] = {}
        for format in ("dicom-seg", "dicom-seg-labelmap"):
            file = folder / f"{format}.dcm"
            space.export("ct", format=format, layer="organs", output=file)
            found = read_by_dcmqi(programs, file, folder / format, grid)
            # bits know segments by their number, not by their value
            results[f"{format}: dcmqi reads"] = np.array([0, 1, 5])[found] if format == "dicom-seg" else found
        space.export("ct", format="nifti", layer="organs", output=folder / "organs.nii.gz")
        space.close()
        other = draw(folder / "other", scan)
        other.import_file("ct", written_by_dcmqi(programs, folder / "organs.nii.gz", scan, folder))
        results["dicom-seg: dcmqi writes"] = painted(other)
        other.close()
    print("| format: reader | finds |\n|---|---|")
    for title, found in results.items():
        differing = int((found != due).sum())
        failed += bool(differing)
        told = f"FAILED: {differing} voxels differ" if differing else f"all {int((due > 0).sum())} voxels"
        print(f"| {title} | {told} |")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
