"""The command `pageroles`: its groups, each loaded when it is called, and what holds for all of them."""

from __future__ import annotations

import importlib
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from pageroles import __version__, settings
from pageroles.command.options import EXIT_FAULT
from pageroles.command.processes import set_up_logs
from pageroles.errors import PagerolesError

# The commands in the order of the help, each a module of this folder.
COMMANDS = ("demo", "load", "serve", "gateway", "report", "keys", "domains", "schema", "version")

_out = Console()
_err = Console(stderr=True)


class _Commands(TyperGroup):
    """Loads a command's module when it is called, so that none waits for what the others import."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - it is called so
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - it is called so
        if cmd_name not in COMMANDS:
            return None
        command = typer.main.get_command(importlib.import_module(f"pageroles.command.{cmd_name}").app)
        command.name = cmd_name
        return command


app = typer.Typer(
    name="pageroles",
    cls=_Commands,
    help="Which role did each page play? The AttributionHub /pages API over ClickHouse.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(given: bool) -> None:
    if given:
        _out.print(f"pageroles {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    log_level: Annotated[
        str, typer.Option(envvar="PAGEROLES_LOG_LEVEL", help="debug, info, warning or error.")
    ] = settings.LOG_LEVEL,
    version: Annotated[  # noqa: ARG001
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version),
    ] = False,
) -> None:
    set_up_logs(log_level)


def main() -> None:
    """Run the command; a fault is one sentence on standard error and exit code 1."""
    try:
        app()
    except PagerolesError as error:
        _err.print(f"[red]pageroles:[/] {error}", highlight=False, soft_wrap=True)
        raise SystemExit(EXIT_FAULT) from None
