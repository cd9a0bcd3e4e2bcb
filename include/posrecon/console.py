"""What the commands share: their settings, and what they print: tables for people, JSON and CSV for programs."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posrecon.exports import csv_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from posrecon.settings import Settings

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
CsvOption = Annotated[bool, typer.Option("--csv", help="Print CSV.")]
WIDTH_WITHOUT_SCREEN = 240


def settings_of_process() -> "Settings":
    """Where state lives, from the environment; loaded only by a command that needs it."""
    from posrecon.settings import Settings

    return Settings()


def screen() -> "Console":
    """The console of tables; where there is no screen, lines are as long as they need to be."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH_WITHOUT_SCREEN)


def new_table(title: str, *, show_header: bool = True) -> "Table":
    """A table with a title and a line under its header."""
    from rich import box
    from rich.table import Table

    return Table(title=title, title_justify="left", show_header=show_header, box=box.SIMPLE_HEAD)


def print_json(content: Any) -> None:
    """Print JSON; dates are ISO text."""
    print(json.dumps(content, ensure_ascii=False, indent=2, default=_jsonable))


def print_csv(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows as CSV, all columns."""
    if rows:
        print(csv_text(rows, rows[0]), end="")


def _jsonable(value: Any) -> Any:
    if isinstance(value, date | datetime):
        return value.isoformat()
    return str(value)
