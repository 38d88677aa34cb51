"""The command line: parse, call one function, print. Heavy parts are imported by the command that needs them."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from bigimage import catalogue, cli_annotations, cli_exchange, cli_masks
from bigimage.cli_tools import as_json
from bigimage.cli_tools import load as _load
from bigimage.cli_tools import print_json as _print_json
from bigimage.cli_tools import print_table as _print_table
from bigimage.errors import BigImageError, DataError, InputError, PartlyDone
from bigimage.progress import reporting
from bigimage.settings import Settings

HERE = {"help_option_names": ["-h", "--help"]}


class _Numbers(click.ParamType[tuple[float, ...]]):
    """Comma-separated numbers of a fixed count."""

    def __init__(self, name: str, count: int) -> None:
        self.name = name
        self._count = count

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """Numbers of a text such as `-180,-90,180,90`."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers separated by commas", param, ctx)
        if len(numbers) != self._count:
            self.fail(f"{value!r} has {len(numbers)} numbers, {self._count} are needed ({self.name})", param, ctx)
        return numbers


@click.group(context_settings=HERE)
@click.option(
    "--workspace",
    type=click.Path(path_type=Path),
    help="Folder of images [default: $BIGIMAGE_WORKSPACE or ./bigimage-workspace].",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="bigimage")
@click.pass_context
def cli(context: click.Context, workspace: Path | None, debug: bool) -> None:
    """Annotate images too big for a screen or for memory."""
    context.obj = Settings.from_env(workspace=workspace)


@cli.command()
@click.argument("source", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--name", metavar="ID", help="Image id [default: made from the file's name].")
@click.option(
    "--role", type=click.Choice(["image", "labels"]), help="Reduce by mean, or by mode [default: by the file]."
)
@click.option("--crs", help="CRS of a file that has none, such as EPSG:4326.")
@click.option("--bounds", type=_Numbers("W,S,E,N", 4), metavar="W,S,E,N", help="Outer edges of a file without a place.")
@click.option(
    "--affine",
    type=_Numbers("a,b,c,d,e,f", 6),
    metavar="a,b,c,d,e,f",
    help="Affine of a file without one, as rasterio.",
)
@click.option("--fit-gcps", is_flag=True, help="Place an image that has only ground control points by a fitted affine.")
@click.option("--deidentify", is_flag=True, help="Store nothing of a scan that names its patient.")
@click.option("--strict", is_flag=True, help="Refuse a scan with gaps, duplicates, a tilt or anything else amiss.")
@click.option("--regularize", is_flag=True, help="Resample uneven or tilted slices of a scan to a regular grid.")
@click.option("--unsharded", is_flag=True, help="Also write a Zarr v2 copy that GDAL before 3.13 opens.")
@click.option("--workers", type=click.IntRange(1, 1024), help="Threads or processes [default: one per core].")
@click.option(
    "--scheduler", default="threads", show_default=True, help="threads, processes, or tcp://host:port of dask."
)
@as_json
@click.pass_obj
def ingest(
    settings: Settings, source: tuple[Path, ...], unsharded: bool, workers: int | None, as_json: bool, **options: Any
) -> None:
    """Turn SOURCE files into image pyramids and print their ids."""
    if options["bounds"] is not None and options["affine"] is not None:
        raise click.UsageError("--affine and --bounds say the same thing; give one of them")
    workspace = _load("bigimage.images").Images(settings)
    failed: PartlyDone | None = None
    with reporting(f"ingest {source[0].name}", quiet=as_json and not sys.stderr.isatty()) as progress:
        try:
            images = workspace.ingest(list(source), workers=workers, progress=progress, **options)
        except PartlyDone as error:
            failed, images = error, [workspace.image(image) for image in error.done]
    if unsharded:
        for image in images:
            workspace.write_unsharded(image.id)
    if as_json:
        keys = ("id", "shape", "dtype", "axes", "verdicts")
        _print_json([{key: workspace.record(image.id)[key] for key in keys} for image in images])
    for image in images if not as_json else ():
        click.echo(image.id)
        for verdict in image.info.verdicts:
            click.echo(f"  {verdict.code}: {verdict.message}", err=True)
    # what was made has been told; what was not makes the command fail
    if failed is not None:
        raise failed


@cli.command("list")
@as_json
@click.pass_obj
def list_images(settings: Settings, as_json: bool) -> None:
    """List the images."""
    found, problems = catalogue.survey(settings.workspace)
    if as_json:
        _print_json(found)
    else:
        rows = [
            (r["id"], r["role"], "×".join(map(str, r["shape"])), r["dtype"], _frame_text(r["frame"])) for r in found
        ]
        _print_table(("id", "role", "shape", "type", "frame"), rows)
    # one damaged image does not hide the others
    if problems:
        raise DataError("some images are damaged", tuple(problems))


@cli.command()
@click.argument("image")
@as_json
@click.pass_obj
def info(settings: Settings, image: str, as_json: bool) -> None:
    """Show what is known about IMAGE."""
    record = catalogue.record(settings.workspace, image)
    if as_json:
        _print_json(record)
        return
    for key in ("id", "store", "role", "axes", "shape", "dtype"):
        value = record[key]
        click.echo(f"{key:12}{' '.join(map(str, value)) if isinstance(value, list) else value}")
    click.echo(f"{'frame':12}{_frame_text(record['frame'])}")
    for row in record["affine"]:
        click.echo(f"{'affine':12}{'  '.join(f'{v:.10g}' for v in row)}")
    for number, level in enumerate(record["levels"]):
        click.echo(f"{'level ' + str(number):12}{' '.join(map(str, level['shape']))}")
    for band, window in zip(record["bands"], record["window"], strict=False):
        nodata = f", nodata {band['nodata']}" if "nodata" in band else ""
        click.echo(
            f"{'band':12}{band['name']} ({band['interpretation']}), shown {window[0]:g} to {window[1]:g}{nodata}"
        )
    for verdict in record["verdicts"]:
        click.echo(f"{'verdict':12}{verdict['code']}: {verdict['message']}")


@cli.command()
@click.argument("image")
@click.pass_obj
def remove(settings: Settings, image: str) -> None:
    """Delete the pixels and masks of IMAGE; the log of its annotations is kept, its id is never used again."""
    _load("bigimage.images").Images(settings).remove(image)


@cli.command()
@click.argument("image")
@as_json
@click.pass_obj
def validate(settings: Settings, image: str, as_json: bool) -> None:
    """Check the store of IMAGE against OME-Zarr 0.5, the GeoZarr conventions and its own checksums."""
    catalogue.record(settings.workspace, image)
    with reporting(f"validate {image}", quiet=as_json) as progress:
        problems = _load("bigimage.pyramid.validate").validate(
            catalogue.image_folder(settings.workspace, image), progress=progress
        )
    if as_json:
        _print_json({"id": image, "valid": not problems, "problems": problems})
    for problem in problems if not as_json else ():
        click.echo(problem)
    if problems:
        raise BigImageError(f"image {image} has {len(problems)} problem{'s' if len(problems) > 1 else ''}")
    if not as_json:
        click.echo(f"{image} is sound")


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535), help="Port to listen on.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 256), help="Server processes.")
@click.pass_obj
def serve(settings: Settings, host: str, port: int, workers: int) -> None:
    """Serve the workspace over HTTP."""
    import signal
    import subprocess

    # the server is a package of its own that imports this one: it is started as a process, never imported
    command = [sys.executable, "-m", "tilesrv", "--workspace", str(settings.workspace), "--host", host]
    command += ["--port", str(port), "--workers", str(workers)]
    with subprocess.Popen(command) as server:  # noqa: S603 - our own interpreter and package, arguments checked above
        # service managers and `docker stop` tell this process alone, and the server must not be left running
        signal.signal(signal.SIGTERM, lambda *_: server.terminate())
        while True:
            try:
                status = server.wait()
                break
            except KeyboardInterrupt:
                continue  # the server got the interrupt too and is shutting down
    if status == -signal.SIGTERM:
        raise SystemExit(128 + signal.SIGTERM)
    if status:
        raise BigImageError(f"the server stopped with status {status}")


@cli.command()
@click.option("--scene", type=click.Path(path_type=Path), help="Your own scene instead of the sample.")
@click.option("--scan", type=click.Path(path_type=Path), help="Your own scan instead of the sample.")
@click.option("--synthetic", type=click.Path(path_type=Path), help="A generated scan to show beside the samples.")
@click.option("--serve/--no-serve", default=True, help="Serve what was made.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535), help="Port to listen on.")
@click.pass_context
def demo(
    context: click.Context, scene: Path | None, scan: Path | None, synthetic: Path | None, serve: bool, port: int
) -> None:
    """Ingest a real scene and real scans, label, paint and export them, and show it all."""
    settings: Settings = context.obj
    made = _load("bigimage.demo").run(settings, scene=scene, scan=scan, synthetic=synthetic, say=click.echo)
    if serve:
        click.echo(f"serving {len(made)} image{'s' if len(made) != 1 else ''} at http://127.0.0.1:{port}")
        context.invoke(globals()["serve"], host="127.0.0.1", port=port, workers=1)


@cli.command()
@click.option("--compile", "compile_kernels", is_flag=True, help="Compile the kernels now, so that no first use waits.")
@as_json
def doctor(compile_kernels: bool, as_json: bool) -> None:
    """Say what is installed, what is missing, and how to get it."""
    module = _load("bigimage.doctor")
    if compile_kernels:
        module.compile_kernels()
    report: Sequence[Mapping[str, Any]] = module.report()
    if as_json:
        _print_json(report)
        return
    for entry in report:
        click.echo(f"{'ok     ' if entry['ok'] else 'missing'} {entry['name']:24}{entry['detail']}")
        if not entry["ok"] and entry.get("remedy"):
            click.echo(f"{'':32}{entry['remedy']}")


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a SHELL; source it from your shell's start-up file."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    if found is None:
        raise InputError(f"no completion for {shell}")
    click.echo(found(cli, {}, "bigimage", "_BIGIMAGE_COMPLETE").source())


for _command in (*cli_annotations.COMMANDS, *cli_exchange.COMMANDS, *cli_masks.COMMANDS):
    cli.add_command(_command)


def _frame_text(frame: Mapping[str, Any]) -> str:
    """A frame in a few words."""
    match frame["type"]:
        case "geo":
            crs = str(frame["crs"])
            return crs.split('"')[1] if "[" in crs else crs
        case "patient":
            return f"patient {frame['uid']}"
        case _:
            return "pixels"


def main() -> None:
    """Entry point: 0 done, 1 failed with a one-line reason, 2 wrong usage."""
    debug = "--debug" in sys.argv[1:]
    status: object = 1
    try:
        status = cli.main(prog_name="bigimage", standalone_mode=False)
    except click.exceptions.Abort:
        _fail("interrupted")
    except KeyboardInterrupt:
        _fail("interrupted; run the same command again to continue")
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BigImageError as error:
        if debug:
            raise
        _fail(" ".join(str(error).split()))
    except OSError as error:
        if debug:
            raise
        _fail(f"{error.strerror or error}: {error.filename}" if error.filename else str(error))
    sys.exit(status if isinstance(status, int) else 0)


def _fail(reason: str) -> None:
    """Say why, and stop with status 1."""
    click.echo(f"bigimage: {reason}", err=True)
    sys.exit(1)
