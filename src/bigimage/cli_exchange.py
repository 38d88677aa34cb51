"""Commands that exchange data with other tools: import, export, chips."""

import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from bigimage.cli_tools import Moment, as_json, load, open_existing, print_json
from bigimage.progress import reporting
from bigimage.settings import Settings


class _Option(click.ParamType[tuple[str, str]]):
    """NAME=VALUE."""

    name = "NAME=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Name and value of a text."""
        name, sign, text = str(value).partition("=")
        if not sign or not name:
            self.fail(f"{value!r} is not NAME=VALUE", param, ctx)
        return name, text


option = click.option("-o", "--option", "options", type=_Option(), multiple=True, help="Set something of the format.")


@click.command("export")
@click.argument("image")
@click.option("--format", "format_name", required=True, metavar="F", help="Format to write, such as geojson.")
@click.option("--output", required=True, type=click.Path(path_type=Path), help="File or folder to write.")
@click.option("--layer", metavar="NAME", help="Write this mask layer in place of annotations.")
@click.option("--region", type=click.UUID, metavar="ID", help="Only what touches this region.")
@click.option("--at", type=Moment(), help="State at a revision or a time [default: the latest].")
@click.option("--snapshot", metavar="NAME", help="State that a snapshot froze.")
@click.option("--strict", is_flag=True, help="Refuse any loss.")
@option
@as_json
@click.pass_obj
def export(
    settings: Settings,
    image: str,
    format_name: str,
    output: Path,
    layer: str | None,
    region: UUID | None,
    at: Any,
    snapshot: str | None,
    strict: bool,
    options: tuple[tuple[str, str], ...],
    as_json: bool,
) -> None:
    """Write the annotations of IMAGE, or a mask layer, to a file, and a report of what it could not hold beside it."""
    with (
        closing(open_existing(settings)) as workspace,
        reporting(f"export {image}", quiet=as_json and not sys.stderr.isatty()) as progress,
    ):
        what = {"layer": layer, "region": region, "at": at, "snapshot": snapshot}
        chosen = {**what, "strict": strict, "options": dict(options), "progress": progress}
        made = workspace.export(image, format=format_name, output=output, **chosen)
    if as_json:
        print_json({"path": str(made.path), "report_path": str(made.report_path), **made.report})
        return
    click.echo(f"{made.path}: {made.report['written']} {'segments' if layer else 'annotations'}")
    _tell(made.report)


@click.command("import")
@click.argument("image")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--format", "format_name", metavar="F", help="Format of FILE [default: told by its content].")
@click.option("--author", metavar="NAME", help="Who the change is by [default: $BIGIMAGE_AUTHOR or local].")
@click.option("--repair", is_flag=True, help="Mend areas that cross themselves, leave out those without area.")
@click.option("--extend-schema", is_flag=True, help="Add labels and attributes that the label schema lacks.")
@click.option("--strict", is_flag=True, help="Refuse a file of which anything would be left out.")
@option
@as_json
@click.pass_obj
def import_(
    settings: Settings,
    image: str,
    file: Path,
    format_name: str | None,
    author: str | None,
    repair: bool,
    extend_schema: bool,
    strict: bool,
    options: tuple[tuple[str, str], ...],
    as_json: bool,
) -> None:
    """Store the annotations of FILE on IMAGE, all or none; importing the same file again changes nothing."""
    with (
        closing(open_existing(settings)) as workspace,
        reporting(f"import {file.name}", quiet=as_json and not sys.stderr.isatty()) as progress,
    ):
        how = {"repair": repair, "extend_schema": extend_schema, "strict": strict}
        chosen = {"author": author, **how, "options": dict(options), "progress": progress}
        done = workspace.import_file(image, file, format=format_name, **chosen)
    told = load("bigimage.exchange.vector").imported_dict(done)
    if as_json:
        print_json(told)
        return
    revision = f"revision {told['revision']}" if told["revision"] else "nothing new"
    counts = ", ".join(f"{told[k]} {k}" for k in ("added", "changed", "unchanged", "removed") if told[k])
    click.echo(f"{image}: {revision}" + (f" ({counts})" if counts else ""))
    _tell(told["report"])


@click.command()
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option("--format", "format_name", required=True, metavar="F", help="Format of the annotations, such as yolo.")
@click.option("--output", required=True, type=click.Path(path_type=Path), help="Folder to write.")
@click.option("--size", default=512, show_default=True, help="Pixels along each side of a chip.")
@click.option("--overlap", default=0, show_default=True, help="Pixels that neighbours share.")
@click.option("--depth", default=1, show_default=True, help="Slices of a volume in each chip.")
@click.option("--neighbours", default=0, show_default=True, help="Slices on each side that are further channels.")
@click.option("--visible", default=0.2, show_default=True, help="Least part of an annotation that a chip must show.")
@click.option("--empty/--no-empty", default=True, show_default=True, help="Keep chips without annotations.")
@click.option("--unreviewed", is_flag=True, help="Keep chips outside the regions that are done.")
@click.option("--val", default=0.2, show_default=True, help="Part that is for validation.")
@click.option("--test", default=0.0, show_default=True, help="Part that is for testing.")
@click.option(
    "--split-by",
    type=click.Choice(["auto", "block", "image", "patient"]),
    default="auto",
    show_default=True,
    help="What no two splits share.",
)
@click.option("--block", default=4, show_default=True, help="Chips along each side of the squares that stay together.")
@click.option("--seed", default=0, show_default=True, help="Another seed gives other splits.")
@click.option(
    "--pictures",
    type=click.Choice(["png", "jpg", "tif", "npy", "nii", "zarr"]),
    default="png",
    show_default=True,
    help="Format of the pictures.",
)
@click.option("--bands", metavar="N,…", help="Bands to write, counted from 1 [default: all].")
@click.option("--window", metavar="CENTER,WIDTH", help="Values that become 0 to 255 [default: as they are].")
@click.option("--snapshot", metavar="NAME", help="State that a snapshot froze.")
@click.option("--strict", is_flag=True, help="Refuse any loss.")
@option
@as_json
@click.pass_obj
def chips(
    settings: Settings,
    images: tuple[str, ...],
    format_name: str,
    output: Path,
    bands: str | None,
    window: str | None,
    snapshot: str | None,
    strict: bool,
    options: tuple[tuple[str, str], ...],
    as_json: bool,
    **cut: Any,
) -> None:
    """Cut images to chips for training, with their annotations and without leaks between the splits."""
    numbers = None if bands is None else tuple(_band(part) for part in bands.split(","))
    with (
        closing(open_existing(settings)) as workspace,
        reporting(f"chips of {', '.join(images)}", quiet=as_json and not sys.stderr.isatty()) as progress,
    ):
        chosen = load("bigimage.exchange.chips").ChipOptions(bands=numbers, window=_window(window), **cut)
        how = {"format_options": dict(options), "snapshot": snapshot, "strict": strict, "progress": progress}
        made = workspace.export_chips(images, format=format_name, output=output, options=chosen, **how)
    if as_json:
        print_json({"path": str(made.path), "report_path": str(made.report_path), **made.report})
        return
    click.echo(f"{made.path}: {made.report['chips']} chips, {made.report['written']} annotations")
    _tell(made.report)


@click.command("snapshot")
@click.argument("name")
@as_json
@click.pass_obj
def snapshot_(settings: Settings, name: str, as_json: bool) -> None:
    """Freeze all images, their annotations and the label schema as NAME, to export that state again and again."""
    with closing(open_existing(settings)) as workspace:
        made = workspace.snapshot(name)
    if as_json:
        revisions = {image: frozen.revision for image, frozen in made.images.items()}
        print_json({"name": made.name, "digest": made.digest, "schema": made.schema, "images": revisions})
    else:
        click.echo(f"{made.name} {made.digest}")


def _band(text: str) -> int:
    """Band from 0 of a number from 1."""
    if not text.strip().isdecimal() or int(text) < 1:
        raise click.BadParameter(f"{text!r} is no band; they are counted from 1", param_hint="--bands")
    return int(text) - 1


def _window(text: str | None) -> tuple[float, float] | None:
    """Centre and width of a window."""
    if text is None:
        return None
    try:
        center, width = (float(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is not CENTER,WIDTH, such as 40,400", param_hint="--window") from None
    return center, width


def _tell(report: Mapping[str, Any]) -> None:
    """Losses and notes, one a line."""
    for loss in report["losses"]:
        click.echo(f"  {loss['kind']} {loss['what']}: {loss['message']} ({loss['count']})", err=True)
    for note in report["notes"]:
        click.echo(f"  {note}", err=True)


COMMANDS = (import_, export, chips, snapshot_)
