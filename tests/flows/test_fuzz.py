"""Whatever is asked over HTTP, in form or out of it, the server has an answer and never a fault of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from bigimage.settings import Settings
from bigimage.workspace import open_workspace
from tests.unit.tilesrv.conftest import UTM, picture, serving, write_tif
from tilesrv import ingesting
from tilesrv.app import create_app

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server over an image of its own, which the requests may even delete."""
    folder = tmp_path_factory.mktemp("fuzz")
    space = open_workspace(settings=Settings(workspace=folder / "workspace", workers=1, roots=(folder / "root",)))
    (folder / "root").mkdir()
    _ingest(space, folder)
    with pytest.MonkeyPatch.context() as patch, serving(create_app(space)) as running:
        patch.setattr(ingesting, "MOST_ACTIVE", 2)  # each job is a process
        yield running


def _ingest(space: Any, folder: Path) -> None:
    scene = write_tif(folder / "scene.tif", picture((301, 402), 3), transform=UTM, crs="EPSG:32632")
    space.ingest(scene, name="scene")


def _interface() -> Any:
    """The interface as it describes itself, for requests that keep to it and requests that do not."""
    described = create_app(open_workspace(settings=Settings(workspace=Path("absent")))).openapi()
    found = schemathesis.openapi.from_dict(described)
    found.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
    return found


schema = _interface()


@schema.parametrize()
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_no_request_finds_a_fault(case: Any, address: str) -> None:
    if "{id}" in case.path and case.path.startswith("/images") and case.method != "DELETE" and len(str(case.query)) % 4:
        case.path_parameters["id"] = "scene"  # an image that there is, so that the rest of the request counts
    response = case.call(base_url=address, timeout=60)
    case.validate_response(response, checks=CHECKS)
