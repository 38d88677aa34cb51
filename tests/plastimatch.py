"""Structure sets painted by plastimatch, where it is installed; it shares no code with ours."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from tests.conftest import CI


def program() -> str:
    """Path of plastimatch; the test is skipped where it is missing, except in CI."""
    found = shutil.which("plastimatch")
    if found is None:
        if CI:
            pytest.fail("plastimatch is not installed, and CI paints structure sets with it", pytrace=False)
        pytest.skip("plastimatch is not installed (Debian package plastimatch)")
    return found


def painted(path: Path, scan: Path, folder: Path) -> dict[str, np.ndarray]:
    """Voxels (z, y, x) of each ROI of a structure set, on the slices of a folder; overlapping contours by exclusive or.

    It paints on 512 × 512 pixels over the extent of all contours and takes the nearest of those for each voxel.
    """
    words = ["--input", path, "--referenced-ct", scan, "--output-prefix", folder, "--prefix-format", "nrrd"]
    subprocess.run(
        [program(), "convert", *words, "--xor-contours"], check=True, capture_output=True, text=True, timeout=300
    )
    return {file.stem: sitk.GetArrayFromImage(sitk.ReadImage(file)) > 0 for file in sorted(folder.glob("*.nrrd"))}
