"""Schema, history, backup, people and regions from the command line, as a user meets them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import shapely

from bigimage import Workspace, open_workspace
from fixtures.make import scene
from tests.flows.test_cli import Run, run  # noqa: F401 - a fixture

SCHEMA = {
    "labels": [
        {"name": "building", "value": 1, "color": "#cc3311", "shapes": ["polygon", "box"]},
        {"name": "barn", "value": 2, "parent": "building", "attributes": [{"name": "roof", "type": "text"}]},
    ],
    "background": "building",
}


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """A workspace with an image of 90 by 70 pixels, where the command line looks for one."""
    opened = open_workspace(tmp_path / "bigimage-workspace")
    opened.ingest(scene(tmp_path / "small.tif", size=(90, 70)), name="small")
    yield opened
    opened.close()


def draw(workspace: Workspace, k: int, *, author: str = "ann") -> Any:
    """A square of two pixels at pixel (10 k, 10 k)."""
    grid = workspace.image("small").info.grid
    low, high = grid.to_world((10 * k, 10 * k)), grid.to_world((10 * k + 2, 10 * k + 2))
    return workspace.annotations.add("small", shapely.box(*low, *high), label="building", author=author)[0]


def test_a_schema_is_set_shown_and_followed(run: Run, tmp_path: Path) -> None:  # noqa: F811 - the fixture
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(SCHEMA))
    assert "there is no workspace" in run("schema", "show").err
    assert not (tmp_path / "bigimage-workspace").exists()
    made = run("schema", "set", file)
    assert (made.status, made.out) == (0, "version 1, 2 labels\n")
    shown = run("schema", "show")
    assert shown.out.splitlines()[0] == "version 1, background building"
    assert shown.out.splitlines()[1].split() == ["value", "label", "colour", "parent", "shapes", "attributes"]
    assert "building" in shown.out
    document = run("schema", "show", "--json").json()
    assert (document["version"], [label["name"] for label in document["labels"]]) == (1, ["building", "barn"])
    file.write_text(json.dumps(document))
    assert run("schema", "set", file, "--base", 1, "--json").json()["version"] == 2
    stale = run("schema", "set", file, "--base", 1)
    assert stale.status == 1
    assert "at version 2, your change was made from version 1" in stale.err
    assert run("schema", "show", "--version", 1, "--json").json() == document
    assert "has no version 9" in run("schema", "show", "--version", 9).err


def test_wrong_schemas_are_refused_with_every_problem(run: Run, tmp_path: Path) -> None:  # noqa: F811
    file = tmp_path / "schema.json"
    file.write_text('{"labels": [{"name": "a", "value": 0, "color": "red", "size": 3}, {"name": "a", "value": 1}]}')
    wrong = run("schema", "set", file)
    assert wrong.status == 1
    assert "labels/0/size: there is no such field" in wrong.err
    file.write_text('{"labels": [{"name": "a", "value": 0, "color": "red"}, {"name": "a", "value": 1}]}')
    wrong = run("schema", "set", file)
    for part in (
        "labels/0/value: 0 is not from 1",
        "labels/0/color: 'red' is not a colour",
        "labels/1/name: 'a' already",
    ):
        assert part in wrong.err
    file.write_text("{")
    assert "is not JSON" in run("schema", "set", file).err
    assert "cannot read" in run("schema", "set", tmp_path / "absent.json").err


def test_history_is_listed_and_taken_back(run: Run, workspace: Workspace) -> None:  # noqa: F811
    first = draw(workspace, 1)
    draw(workspace, 2, author="bob")
    workspace.annotations.remove(first, author="bob")
    listed = run("history", "small", "--json").json()
    assert [(s["revision"], s["author"], s["changes"]) for s in listed] == [(3, "bob", 1), (2, "bob", 1), (1, "ann", 1)]
    assert run("history", "small", "--since", 1, "--limit", 1, "--json").json() == listed[:1]
    assert run("history", "small").out.splitlines()[1].split() == ["3", listed[0]["time"], "bob", "1"]
    back = run("revert", "small", "--to", listed[1]["time"], "--author", "cy")
    assert (back.status, back.out) == (0, "revision 4: 1 changes\n")
    assert run("history", "small", "--json").json()[0]["author"] == "cy"
    assert len(list(workspace.annotations.query("small"))) == 2
    assert run("revert", "small", "--to", 4, "--json").json() == {"revision": None, "changes": 0, "kept": []}
    assert run("revert", "small", "--to", 4).out == "nothing to take back\n"
    taken = run("revert", "small", "--made-by", "bob")
    assert taken.out == "revision 5: 1 changes\n"
    assert f"{first.id} stays" in taken.err
    assert "has no revision 99; its latest is 5" in run("revert", "small", "--to", 99).err
    assert run("history", "nowhere").status == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("revert", "small"),
        ("revert", "small", "--to", "1", "--made-by", "ann"),
        ("revert", "small", "--to", "yesterday"),
        ("revert", "small", "--made-by", "ann", "--region", "00000000-0000-0000-0000-000000000001"),
        ("user", "add", "ann"),
        ("user", "add", "ann", "--role", "king"),
        ("regions", "split", "small"),
        ("regions", "split", "small", "--size", "0"),
    ],
)
def test_wrong_usage_is_status_2(run: Run, arguments: tuple[str, ...]) -> None:  # noqa: F811
    outcome = run(*arguments)
    assert (outcome.status, outcome.out) == (2, "")


def test_a_removed_image_keeps_its_log(run: Run, workspace: Workspace) -> None:  # noqa: F811
    made = draw(workspace, 1)
    assert run("remove", "small").status == 0
    assert [s["changes"] for s in run("history", "small", "--json").json()] == [1]
    assert workspace.annotations.get(made.id) == made


def test_everything_goes_into_a_backup_and_out_again(run: Run, workspace: Workspace, tmp_path: Path) -> None:  # noqa: F811
    made = [draw(workspace, k) for k in range(3)]
    workspace.annotations.remove(made[0])
    token = run("user", "add", "ann", "--role", "admin", "--json").json()["token"]
    run("regions", "split", "small", "--size", 50)
    done = run("backup", tmp_path / "all.backup")
    assert (done.status, done.out) == (0, "1 images, 3 annotations, 4 changes of them\n")
    fresh = tmp_path / "fresh"
    restored = run("--workspace", fresh, "restore", tmp_path / "all.backup", "--json").json()
    assert restored == run("backup", tmp_path / "again.backup", "--json").json()
    other = open_workspace(fresh)
    assert list(other.annotations.query("small")) == list(workspace.annotations.query("small"))
    assert list(other.annotations.query("small", at=1)) == made[:1]
    assert other.people.who(token) == workspace.people.who(token)
    assert list(other.regions.of("small")) == list(workspace.regions.of("small"))
    other.close()
    assert "holds something already" in run("restore", tmp_path / "all.backup").err
    assert "there is no backup" in run("--workspace", fresh, "restore", tmp_path / "absent").err
    assert "cannot write the backup" in run("backup", tmp_path / "no" / "folder").err


def test_people_come_and_go(run: Run, workspace: Workspace) -> None:  # noqa: F811
    added = run("user", "add", "ann", "--role", "annotator")
    secret = added.out.strip()
    assert added.status == 0
    assert "shown this once" in added.err
    found = workspace.people.who(secret)
    assert found is not None
    assert (found.name, found.role) == ("ann", "annotator")
    more = run("user", "token", "ann", "--days", 30, "--json").json()
    assert (more["name"], workspace.people.who(more["token"])) == ("ann", found)
    run("user", "role", "ann", "reviewer")
    (listed,) = run("user", "list", "--json").json()
    assert (listed["name"], listed["role"], len(listed["tokens"])) == ("ann", "reviewer", 2)
    assert secret not in json.dumps(listed)
    assert run("user", "list").out.splitlines()[1].split()[:2] == ["ann", "reviewer"]
    assert run("user", "revoke", more["id"]).status == 0
    assert workspace.people.who(more["token"]) is None
    assert run("user", "remove", "ann").status == 0
    assert workspace.people.who(secret) is None
    assert run("user", "list", "--json").json() == []
    again = run("user", "remove", "ann")
    assert (again.status, again.err) == (1, "bigimage: there is nobody named 'ann'\n")
    assert run("user", "add", "local", "--role", "admin").status == 1


def test_regions_are_split_listed_and_taken_back(run: Run, workspace: Workspace) -> None:  # noqa: F811
    made = run("regions", "split", "small", "--size", 50, "--json").json()
    assert [r["box"] for r in made] == [[0, 0, 50, 50], [50, 0, 70, 50], [0, 50, 50, 90], [50, 50, 70, 90]]
    assert run("regions", "list", "small", "--json").json() == made
    assert "has a region '0-0' already" in run("regions", "split", "small", "--size", 50).err
    workspace.regions.claim(workspace.regions.of("small")[0].id, by="ann")
    assert "are claimed or done" in run("regions", "split", "small", "--size", 90, "--replace").err
    listed = run("regions", "list", "small", "--state", "claimed")
    assert listed.out.splitlines()[1].split()[1:] == ["0-0", "0", "0", "50", "50", "claimed", "ann"]
    assert run("regions", "list", "nowhere").status == 1
    steps = run("regions", "history", "small", "--region", made[0]["id"], "--json").json()
    assert [(s["kind"], s["author"], s["version"]) for s in steps] == [("claimed", "ann", 2), ("made", "local", 1)]
    shown = run("regions", "history", "small", "--limit", 1).out.splitlines()
    assert shown[1].split()[1:] == ["0-0", "claimed", "ann", "2", made[0]["id"]]
    assert len(run("regions", "history", "small", "--json").json()) == 5
    assert run("regions", "history", "nowhere").status == 1
    assert run("regions", "history", "small", "--region", uuid4()).status == 1
    inside, outside = draw(workspace, 1), draw(workspace, 6)
    back = run("revert", "small", "--to", 0, "--region", made[0]["id"])
    assert back.out == "revision 3: 1 changes\n"
    assert [a.id for a in workspace.annotations.query("small")] == [outside.id]
    assert inside.id != outside.id
    assert run("revert", "small", "--to", 0, "--region", inside.id).status == 1
