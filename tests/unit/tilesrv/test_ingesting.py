"""What clients say about a file becomes options of the command line, or a problem that names every mistake."""

from typing import Any

import pytest

from tilesrv.errors import BadRequest
from tilesrv.ingesting import Description, describe


def test_nothing_said_is_no_option() -> None:
    assert describe({}) == Description()
    assert Description().options() == ()


@pytest.mark.parametrize("yes", [True, "true", "1"])
def test_options_of_scans(yes: Any) -> None:
    said = describe({"deidentify": yes, "strict": yes, "regularize": False, "name": "scan"})
    assert (said.deidentify, said.strict, said.regularize) == (True, True, False)
    assert said.options() == ("--name=scan", "--deidentify", "--strict")


def test_options_of_rasters() -> None:
    said = describe({"crs": "EPSG:4326", "bounds": [-180, -90, 180, 90], "role": "labels"})
    assert said.options() == ("--role=labels", "--crs=EPSG:4326", "--bounds=-180.0,-90.0,180.0,90.0")


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({"deidentify": "perhaps"}, "takes true or false"),
        ({"strict": {"a": 1}}, "true or false, or lists of numbers"),
        ({"colour": "red"}, "'colour' is not known"),
        ({"role": "mask"}, "role"),
    ],
)
def test_what_makes_no_sense_is_told(members: dict[str, Any], problem: str) -> None:
    with pytest.raises((BadRequest, ValueError), match=problem):
        describe(members)
