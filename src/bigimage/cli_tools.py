"""What all commands of the command line share: JSON, tables, moments, and loading heavy parts when they are needed."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, TypeVar

import click

from bigimage.errors import NotFound
from bigimage.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def load(module: str) -> Any:
    """A module of ours that is too heavy to import before it is needed."""
    return import_module(module)


def open_existing(settings: Settings) -> Any:
    """The workspace, for a command that only reads. Raises NotFound when there is none, and makes none."""
    if not settings.workspace.is_dir():
        raise NotFound(f"there is no workspace {settings.workspace}; 'bigimage ingest' makes one")
    return load("bigimage.workspace").open_workspace(settings=settings)


def print_json(value: object) -> None:
    """JSON for programs: strict, so that a NaN never slips through."""
    click.echo(json.dumps(value, indent=2, allow_nan=False))


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their content."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def utc(moment: datetime) -> str:
    """RFC 3339 in UTC, to the microsecond, so that what was printed names the same moment when it is given back."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Moment(click.ParamType[int | datetime]):
    """A revision's number, or a time as RFC 3339; UTC where it says no zone."""

    name = "REVISION|TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | datetime:
        """Number or time of a text."""
        text = str(value)
        if text.isdigit():
            return int(text)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            self.fail(
                f"{text!r} is neither the number of a revision nor a time such as 2026-01-31T12:00:00Z", param, ctx
            )
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
