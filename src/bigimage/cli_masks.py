"""Commands about mask layers."""

import sys
from contextlib import closing
from dataclasses import asdict
from typing import Any
from uuid import UUID

import click

from bigimage.cli_tools import as_json, open_existing, print_json, print_table
from bigimage.progress import reporting
from bigimage.settings import Settings

MODES = ("semantic", "instance", "panoptic", "coverage", "multilayer")


@click.command()
@click.argument("image")
@click.option("--layer", metavar="NAME", help="Name of the layer [default: the mode].")
@click.option("--mode", type=click.Choice(MODES), help="What pixels hold [default: semantic].")
@click.option("--rule", type=click.Choice(["center", "all-touched"]), help="Which pixels belong [default: center].")
@click.option(
    "--fill-between/--no-fill-between",
    default=None,
    help="Interpolate contours between annotated slices of a volume, or not [default: as it was].",
)
@click.option("--follow", is_flag=True, help="Go on: paint every later change as it comes, until interrupted.")
@click.option("--workers", type=click.IntRange(1, 1024), help="Threads or processes [default: one per core].")
@click.option(
    "--scheduler", default="threads", show_default=True, help="threads, processes, or tcp://host:port of dask."
)
@as_json
@click.pass_obj
def rasterize(settings: Settings, image: str, follow: bool, as_json: bool, **options: Any) -> None:
    """Paint the annotations of IMAGE into a mask layer; only what changed since the last time."""
    with closing(open_existing(settings)) as workspace:
        if follow:
            for layer in workspace.follow(image, **options):
                _tell(layer, as_json=as_json)
            return
        with reporting(f"rasterize {image}", quiet=as_json and not sys.stderr.isatty()) as progress:
            layer = workspace.rasterize(image, progress=progress, **options)
        _tell(layer, as_json=as_json)


def _tell(layer: Any, *, as_json: bool) -> None:
    """Print what a layer shows."""
    painted = layer.painted
    if as_json:
        print_json(
            {
                "image": painted.image,
                "layer": painted.name,
                "mode": painted.mode,
                "rule": painted.rule,
                "revision": painted.revision,
                "unknown": list(painted.unknown),
                "store": str(layer.pyramid.path),
            }
        )
    else:
        click.echo(f"{painted.image} {painted.name}: {painted.mode}, {painted.rule}, revision {painted.revision}")
    for name in painted.unknown:
        click.echo(f"  label {name!r} is not in the schema: its annotations were not painted", err=True)


@click.command()
@click.argument("image")
@click.option("--remove", metavar="NAME", help="Delete this layer first; annotations stay.")
@as_json
@click.pass_obj
def masks(settings: Settings, image: str, remove: str | None, as_json: bool) -> None:
    """List the mask layers of IMAGE and the labels that they show."""
    with closing(open_existing(settings)) as workspace:
        if remove is not None:
            workspace.remove_layer(image, remove)
        layers = workspace.layers(image)
        latest = workspace.annotations.revision(image)
    number = 0 if latest is None else latest.number
    if as_json:
        print_json([_layer(layer, number) for layer in layers])
        return
    rows = [
        (
            layer.name,
            layer.mode,
            layer.painted.rule,
            f"{layer.revision} of {number}",
            ", ".join(f"{c.name} ({c.value})" for c in layer.classes),
        )
        for layer in layers
    ]
    print_table(("layer", "mode", "rule", "revision", "labels"), rows)


def _layer(layer: Any, latest: int) -> dict[str, Any]:
    """A layer as JSON; `latest` is the latest revision of the annotations."""
    painted = layer.painted
    return {
        "layer": layer.name,
        "mode": painted.mode,
        "rule": painted.rule,
        "revision": painted.revision,
        "current": painted.revision == latest and painted.pending == (),
        "dtype": layer.pyramid.info.dtype,
        "bands": [band.name for band in layer.pyramid.info.bands],
        "classes": [{"value": c.value, "name": c.name, "color": c.color} for c in layer.classes],
        "unknown": list(painted.unknown),
        "store": str(layer.pyramid.path),
    }


@click.command()
@click.argument("image")
@click.option("--layer", metavar="NAME", default="instance", show_default=True, help="Name of the layer.")
@click.option("--id", "ids", type=click.IntRange(1), multiple=True, help="Only this object; may be given again.")
@click.option(
    "--annotation", "annotations", type=click.UUID, multiple=True, help="Only this annotation; may be given again."
)
@as_json
@click.pass_obj
def instances(
    settings: Settings, image: str, layer: str, ids: tuple[int, ...], annotations: tuple[UUID, ...], as_json: bool
) -> None:
    """Tell which annotations the objects of a layer of IMAGE are."""
    with closing(open_existing(settings)) as workspace:
        table = workspace.layer(image, layer).instances()
    if ids:
        table = table.of(ids)
    if annotations:
        table = table.of_annotations(annotations)
    if as_json:
        print_json([{**asdict(one), "annotation": str(one.annotation)} for one in table])
        return
    rows = [(str(one.id), str(one.annotation), str(one.version), one.label) for one in table]
    print_table(("id", "annotation", "version", "label"), rows)


COMMANDS = (rasterize, masks, instances)
