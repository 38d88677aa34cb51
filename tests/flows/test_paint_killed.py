"""A paint that is killed at any moment leaves the layer as it was or as it will be, and the next one finishes it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("scene", ["first", "edited", "widened"])
def test_a_paint_killed_at_any_moment_is_finished_by_the_next(tmp_path: Path, scene: str) -> None:
    command = [sys.executable, "-m", "tests.flows.crashing_paint", str(tmp_path), scene, "8"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["wrong"] == []
    assert result["moments"] >= 8
    assert result["files"] > 10
