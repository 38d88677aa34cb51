"""Whatever is asked over HTTP, in form or out of it, the server has an answer and never a fault of its own."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import schemathesis
import shapely
from hypothesis import HealthCheck, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from bigimage.model.mask import Mask
from bigimage.settings import Settings
from bigimage.workspace import open_workspace
from tests.drawn import SCENE, make_images
from tests.unit.tilesrv.conftest import serving
from tilesrv import ingesting
from tilesrv.app import create_app

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)


@dataclass(frozen=True)
class Served:
    """A server, who asks it, and what is there."""

    address: str
    headers: dict[str, str]
    annotations: list[str]
    regions: list[str]


@pytest.fixture(scope="module", params=["local", "admin"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server over images of its own, which requests may even delete; asked without and with a token."""
    folder = tmp_path_factory.mktemp("fuzz")
    space = make_images(folder / "workspace", roots=(folder / "root",))
    (folder / "root").mkdir()
    drawn = [
        space.annotations.new("scene", shapely.box(500_100 + k, 4_999_000, 500_200, 4_999_100), label="ship")
        for k in range(5)
    ]
    drawn.append(space.annotations.new("scene", Mask.of(SCENE, np.ones((5, 5), bool)), label="blot"))
    space.annotations.add("scene", *drawn)
    regions = space.split_regions("scene", size=200)
    headers: dict[str, str] = {}
    if request.param == "admin":
        space.people.add("ada", "admin")
        headers = {"Authorization": f"Bearer {space.people.issue('ada')[0]}"}
    with pytest.MonkeyPatch.context() as patch, serving(create_app(space)) as running:
        patch.setattr(ingesting, "MOST_ACTIVE", 2)  # each job is a process
        yield Served(running, headers, [str(a.id) for a in drawn], [str(r.id) for r in regions])


def _interface() -> Any:
    """The interface as it describes itself, for requests that keep to it and requests that do not."""
    described = create_app(open_workspace(settings=Settings(workspace=Path("absent")))).openapi()
    found = schemathesis.openapi.from_dict(described)
    found.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
    return found.exclude(path_regex="/changes/events$")  # it never ends


schemathesis.serializer.alias("application/zip", "application/octet-stream")
schema = _interface()


@schema.parametrize()
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_no_request_finds_a_fault(case: Any, served: Served) -> None:
    _name_what_is_there(case, served)
    response = case.call(base_url=served.address, headers=served.headers, timeout=60)
    case.validate_response(response, checks=CHECKS)


def _name_what_is_there(case: Any, served: Served) -> None:
    """Let most requests be about something that there is, so that the rest of the request counts."""
    pick = len(str(case.query)) + len(str(case.body))
    if pick % 4 == 0 or not case.path_parameters:
        return
    keeps = (case.method, case.path) != ("DELETE", "/images/{id}")
    if "{uuid}" in case.path:
        case.path_parameters["uuid"] = served.annotations[pick % len(served.annotations)]
    if case.path.startswith("/regions"):
        case.path_parameters["id"] = served.regions[pick % len(served.regions)]
    elif case.path.startswith(("/images", "/ogc")) and "{id}" in case.path and keeps:
        case.path_parameters["id"] = "scene"
    if case.method in ("PUT", "PATCH", "DELETE", "POST") and pick % 3:
        case.headers = {**(case.headers or {}), "If-Match": "*"}
