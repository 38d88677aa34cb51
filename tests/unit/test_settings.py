"""Settings: defaults, environment, what overrides what, and values that do not parse."""

import dataclasses
import os
from pathlib import Path

import pytest

from bigimage.errors import InputError
from bigimage.settings import Settings


def test_the_environment_sets_every_field() -> None:
    env = {
        "BIGIMAGE_WORKSPACE": "/data",
        "BIGIMAGE_ROOTS": os.pathsep.join(["/a", "", "/b"]),
        "BIGIMAGE_WORKERS": "3",
        "BIGIMAGE_CHUNK_CACHE": "0",
        "BIGIMAGE_CORS_ORIGINS": "https://a.example, https://b.example,",
        "OTHER": "x",
    }
    settings = Settings.from_env(env)
    assert settings.workspace == Path("/data")
    assert settings.roots == (Path("/a"), Path("/b"))
    assert settings.workers == settings.worker_count() == 3
    assert settings.chunk_cache == 0
    assert settings.cors_origins == ("https://a.example", "https://b.example")
    assert settings.tile_cache == Settings().tile_cache


def test_what_the_caller_gives_wins_unless_it_is_none() -> None:
    env = {"BIGIMAGE_WORKSPACE": "/data", "BIGIMAGE_WORKERS": "3"}
    settings = Settings.from_env(env, workspace=Path("here"), workers=None)
    assert (settings.workspace, settings.workers) == (Path("here"), 3)


def test_every_number_has_a_default_that_parses() -> None:
    defaults = Settings()
    for field in dataclasses.fields(Settings):
        value = getattr(defaults, field.name)
        if isinstance(value, int):
            text = str(value + 1)
            assert getattr(Settings.from_env({f"BIGIMAGE_{field.name.upper()}": text}), field.name) == value + 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [("many", "not a whole number"), ("1.5", "not a whole number"), ("-1", "negative"), ("", "not a whole number")],
)
def test_a_value_that_makes_no_sense_is_named(text: str, reason: str) -> None:
    with pytest.raises(InputError, match=f"BIGIMAGE_WORKERS='{text}' is {reason}"):
        Settings.from_env({"BIGIMAGE_WORKERS": text})


def test_no_workers_means_one_per_core() -> None:
    assert Settings().worker_count() == len(os.sched_getaffinity(0)) >= 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().workers = 2  # type: ignore[misc]
