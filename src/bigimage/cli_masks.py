"""Commands about mask layers."""

import sys
from contextlib import closing
from typing import Any

import click

from bigimage.cli_tools import as_json, open_existing, print_json
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


COMMANDS = (rasterize,)
