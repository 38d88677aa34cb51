"""Commands about annotations and the people who make them: schema, history, revert, backup, restore, user, regions."""

import json
from collections.abc import Generator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from bigimage.cli_tools import Moment, as_json, load, open_existing, print_json, print_table, utc
from bigimage.errors import BackendError, DataError, InputError
from bigimage.settings import Settings

author = click.option("--author", metavar="NAME", help="Who the change is by [default: $BIGIMAGE_AUTHOR or local].")


@contextmanager
def _opened(settings: Settings) -> Generator[Any]:
    """The workspace, made where there is none, closed at the end."""
    with closing(load("bigimage.workspace").open_workspace(settings=settings)) as workspace:
        yield workspace


@contextmanager
def _existing(settings: Settings) -> Generator[Any]:
    """The workspace, for reading, closed at the end."""
    with closing(open_existing(settings)) as workspace:
        yield workspace


@click.group()
def schema() -> None:
    """Show or set the label schema."""


@schema.command("show")
@click.option("--version", type=click.IntRange(1), help="An earlier version [default: the latest].")
@as_json
@click.pass_obj
def schema_show(settings: Settings, version: int | None, as_json: bool) -> None:
    """Show the label schema."""
    with _existing(settings) as workspace:
        found = workspace.annotations.schema(version)
    document = load("bigimage.model.schema_json").schema_dict(found)
    if as_json:
        print_json(document)
        return
    click.echo(f"version {found.version}" + (f", background {found.background}" if found.background else ""))
    rows = [
        (
            *(str(label["value"]), label["name"], label["color"], label.get("parent", "")),
            *(", ".join(label["shapes"]) or "any", ", ".join(a["name"] for a in label["attributes"])),
        )
        for label in document["labels"]
    ]
    print_table(("value", "label", "colour", "parent", "shapes", "attributes"), rows)


@schema.command("set")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--base", type=click.IntRange(0), help="Version that the change was made from; refused if it is not the latest."
)
@author
@as_json
@click.pass_obj
def schema_set(settings: Settings, file: Path, base: int | None, author: str | None, as_json: bool) -> None:
    """Make the label schema of FILE (JSON) the next version."""
    document = _read_json(file)
    with _opened(settings) as workspace:
        made = workspace.annotations.set_schema(document, author=author, base=base)
    if as_json:
        print_json(load("bigimage.model.schema_json").schema_dict(made))
    else:
        click.echo(f"version {made.version}, {len(made.labels)} labels")


def _read_json(file: Path) -> Any:
    """Document of a file. Raises BackendError, DataError."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BackendError(f"cannot read {file}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is not JSON: {error}") from error


@click.command()
@click.argument("image")
@click.option("--since", type=click.IntRange(0), default=0, help="Only revisions behind this one.")
@click.option("--limit", type=click.IntRange(1), help="At most so many, the latest.")
@as_json
@click.pass_obj
def history(settings: Settings, image: str, since: int, limit: int | None, as_json: bool) -> None:
    """List the revisions of the annotations of IMAGE, the latest first."""
    with _existing(settings) as workspace:
        steps = workspace.annotations.revisions(image, since=since, limit=limit)
    rows = [(s.revision.number, utc(s.revision.time), s.revision.author, s.changes) for s in steps]
    names = ("revision", "time", "author", "changes")
    if as_json:
        print_json([dict(zip(names, row, strict=True)) for row in rows])
    else:
        print_table(names, [tuple(map(str, row)) for row in rows])


@click.command()
@click.argument("image")
@click.option(
    "--to", type=Moment(), metavar="REVISION|TIME", help="What was visible at a revision or a time (RFC 3339)."
)
@click.option("--region", type=click.UUID, metavar="ID", help="With --to: only what touches the box of a region.")
@click.option("--made-by", metavar="NAME", help="Instead of --to: what one person changed, where nobody built on it.")
@click.option("--since", type=click.IntRange(0), default=0, help="With --made-by: only behind this revision.")
@author
@as_json
@click.pass_obj
def revert(
    settings: Settings,
    image: str,
    to: int | datetime | None,
    region: UUID | None,
    made_by: str | None,
    since: int,
    author: str | None,
    as_json: bool,
) -> None:
    """Take changes of the annotations of IMAGE back, by a new revision: nothing is lost."""
    if (to is None) == (made_by is None):
        raise click.UsageError("give either --to or --made-by")
    if region is not None and to is None:
        raise click.UsageError("--region goes with --to")
    with _existing(settings) as workspace:
        if made_by is not None:
            done = workspace.annotations.revert_author(image, made_by, since=since, author=author)
        else:
            box = None if region is None else _region_box(workspace, image, region)
            done = workspace.annotations.revert(image, to=to, box=box, author=author)
    revision = None if done.revision is None else done.revision.number
    changes = done.changes
    if as_json:
        print_json({"revision": revision, "changes": changes, "kept": [str(id_) for id_ in done.kept]})
        return
    click.echo("nothing to take back" if revision is None else f"revision {revision}: {changes} changes")
    for id_ in done.kept:
        click.echo(f"  {id_} stays: others have built on it", err=True)


def _region_box(workspace: Any, image: str, region: UUID) -> Any:
    """Box of a region in the world. Raises NotFound, InputError."""
    found = workspace.regions.get(region)
    if found.image != image:
        raise InputError(f"region {region} is one of image {found.image!r}, not of {image!r}")
    return workspace.image(image).info.grid.crop(found.box).world_bounds()


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@as_json
@click.pass_obj
def backup(settings: Settings, file: Path, as_json: bool) -> None:
    """Write all annotations with their history, the schema, people and regions to FILE."""
    with _existing(settings) as workspace:
        counts = workspace.backup(file)
    _print_counts(counts, as_json)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@as_json
@click.pass_obj
def restore(settings: Settings, file: Path, as_json: bool) -> None:
    """Fill a workspace that has no annotations yet from the backup FILE, whole or not at all."""
    with _opened(settings) as workspace:
        counts = workspace.restore(file)
    _print_counts(counts, as_json)


def _print_counts(counts: dict[str, int], as_json: bool) -> None:
    """Say what a backup holds."""
    if as_json:
        print_json(counts)
        return
    click.echo(f"{counts['image']} images, {counts['annotation']} annotations, {counts['entry']} changes of them")


@click.group()
def user() -> None:
    """Add, list and remove people and their tokens."""


@user.command("add")
@click.argument("name")
@click.option(
    "--role", type=click.Choice(["viewer", "annotator", "reviewer", "admin"]), required=True, help="What they may do."
)
@click.option("--days", type=click.FloatRange(0, min_open=True), help="How long the token holds [default: for good].")
@as_json
@click.pass_obj
def user_add(settings: Settings, name: str, role: str, days: float | None, as_json: bool) -> None:
    """Add NAME and print their token, which is shown this once and not kept."""
    with _opened(settings) as workspace:
        workspace.people.add(name, role)
        secret, token = workspace.people.issue(name, days=days)
    _print_token(secret, token, as_json, role=role)


@user.command("list")
@as_json
@click.pass_obj
def user_list(settings: Settings, as_json: bool) -> None:
    """List people, their roles and what is known about their tokens."""
    with _existing(settings) as workspace:
        people = [(person, workspace.people.tokens(person.name)) for person in workspace.people.everyone()]
    if as_json:
        print_json(
            [
                {"name": p.name, "role": p.role, "created": utc(p.created), "tokens": [_token(t) for t in tokens]}
                for p, tokens in people
            ]
        )
        return
    rows = [(p.name, p.role, utc(p.created), ", ".join(t.id for t in tokens)) for p, tokens in people]
    print_table(("name", "role", "since", "tokens"), rows)


@user.command("role")
@click.argument("name")
@click.argument("role", type=click.Choice(["viewer", "annotator", "reviewer", "admin"]))
@click.pass_obj
def user_role(settings: Settings, name: str, role: str) -> None:
    """Give NAME another ROLE."""
    with _existing(settings) as workspace:
        workspace.people.change(name, role)


@user.command("remove")
@click.argument("name")
@click.pass_obj
def user_remove(settings: Settings, name: str) -> None:
    """Remove NAME and their tokens; what they did stays theirs in the log."""
    with _existing(settings) as workspace:
        workspace.people.remove(name)


@user.command("token")
@click.argument("name")
@click.option("--days", type=click.FloatRange(0, min_open=True), help="How long it holds [default: for good].")
@as_json
@click.pass_obj
def user_token(settings: Settings, name: str, days: float | None, as_json: bool) -> None:
    """Print one more token of NAME, which is shown this once and not kept."""
    with _existing(settings) as workspace:
        secret, token = workspace.people.issue(name, days=days)
    _print_token(secret, token, as_json)


@user.command("revoke")
@click.argument("token")
@click.pass_obj
def user_revoke(settings: Settings, token: str) -> None:
    """End the token with the id TOKEN, as `user list` shows it."""
    with _existing(settings) as workspace:
        workspace.people.revoke(token)


def _token(token: Any) -> dict[str, Any]:
    """What is known about a token, as JSON."""
    expires = None if token.expires is None else utc(token.expires)
    return {"id": token.id, "created": utc(token.created), "expires": expires}


def _print_token(secret: str, token: Any, as_json: bool, **more: str) -> None:
    """Print a new token, alone on standard output."""
    if as_json:
        print_json({"name": token.person, **more, "token": secret, **_token(token)})
        return
    click.echo(secret)
    click.echo(f"the token of {token.person}: it is shown this once, and only its digest is kept", err=True)


@click.group()
def regions() -> None:
    """Split images into regions that people work on one at a time."""


@regions.command("split")
@click.argument("image")
@click.option(
    "--size",
    type=click.IntRange(1),
    required=True,
    help="Side of the squares in pixels; of a volume, number of slices.",
)
@click.option("--replace", is_flag=True, help="Instead of the regions that are there, if nobody has claimed any.")
@author
@as_json
@click.pass_obj
def regions_split(settings: Settings, image: str, size: int, replace: bool, author: str | None, as_json: bool) -> None:
    """Split IMAGE into squares, or a volume into ranges of slices."""
    with _existing(settings) as workspace:
        made = workspace.split_regions(image, size=size, replace_open=replace, author=author)
    _print_regions(made, as_json)


@regions.command("list")
@click.argument("image")
@click.option("--state", type=click.Choice(["open", "claimed", "done"]), help="Only those in this state.")
@as_json
@click.pass_obj
def regions_list(settings: Settings, image: str, state: str | None, as_json: bool) -> None:
    """List the regions of IMAGE and who works on them."""
    with _existing(settings) as workspace:
        workspace.record(image)
        found = workspace.regions.of(image, state=state)
    _print_regions(found, as_json)


@regions.command("history")
@click.argument("image")
@click.option("--region", type=click.UUID, metavar="ID", help="Only the steps of this region.")
@click.option("--limit", type=click.IntRange(1), help="At most so many, the latest.")
@as_json
@click.pass_obj
def regions_history(settings: Settings, image: str, region: UUID | None, limit: int | None, as_json: bool) -> None:
    """List who made, claimed, released, finished and removed regions of IMAGE, the latest step first."""
    with _existing(settings) as workspace:
        workspace.record(image)
        if region is None:
            found = workspace.regions.steps(image, limit=limit)
        else:
            found = workspace.regions.history(region)[::-1][:limit]
            if found[0].image != image:
                raise InputError(f"region {region} is one of image {found[0].image!r}, not of {image!r}")
    documents = [load("bigimage.model.region").step_dict(step) for step in found]
    if as_json:
        print_json(documents)
        return
    rows = [(d["time"], d["name"], d["kind"], d["author"] or "", str(d["version"]), d["region"]) for d in documents]
    print_table(("time", "name", "step", "by", "version", "region"), rows)


def _print_regions(found: Any, as_json: bool) -> None:
    """Regions as a table or JSON."""
    documents = [load("bigimage.model.region").region_dict(region) for region in found]
    if as_json:
        print_json(documents)
        return
    rows = [(d["id"], d["name"], " ".join(map(str, d["box"])), d["state"], d["assignee"] or "") for d in documents]
    print_table(("id", "name", "box", "state", "assignee"), rows)


COMMANDS = (schema, history, revert, backup, restore, user, regions)
