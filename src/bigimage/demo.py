"""The demo: a real scene becomes a pyramid, ready to be served."""

from collections.abc import Callable
from pathlib import Path

from bigimage.progress import reporting
from bigimage.samples import get, locate
from bigimage.settings import Settings
from bigimage.workspace import Workspace, open_workspace

SCENE = "blue-marble"


def run(settings: Settings, *, scene: Path | None, scan: Path | None, say: Callable[[str], None]) -> list[str]:
    """Make what the demo shows, or what is missing of it, and say what was made; returns the image ids.

    `scene` and `scan` replace the samples. Raises Unsupported when the packages that carry the samples are missing.
    """
    workspace = open_workspace(settings=settings)
    made = [_scene(workspace, scene)]
    if scan is not None:
        made += _own(workspace, scan)
    for image in made:
        record = workspace.record(image)
        shape = "×".join(map(str, record["shape"]))
        say(f"{image}: {shape} {record['dtype']}, {len(record['levels'])} levels, at {record['store']}")
        for verdict in record["verdicts"]:
            say(f"  {verdict['code']}: {verdict['message']}")
    return made


def _scene(workspace: Workspace, scene: Path | None) -> str:
    """The user's scene, or the Blue Marble placed on the whole globe."""
    if scene is not None:
        return _own(workspace, scene)[0]
    known = {record["id"] for record in workspace.images()}
    if SCENE not in known:
        sample = get(SCENE)
        with reporting(f"ingest {sample.what}") as progress:
            workspace.ingest(locate(SCENE), name=SCENE, crs=sample.crs, bounds=sample.bounds, progress=progress)
    return SCENE


def _own(workspace: Workspace, path: Path) -> list[str]:
    """The user's own file or folder, ingested unless this very file was."""
    known = [r["id"] for r in workspace.images() if r["provenance"].get("source") == path.name]
    if known:
        return known
    with reporting(f"ingest {path.name}") as progress:
        return [image.id for image in workspace.ingest(path, progress=progress)]
