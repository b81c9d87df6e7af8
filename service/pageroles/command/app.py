"""The entry point of the `pageroles` command: its commands, and the options before them."""

from __future__ import annotations

import importlib
import os
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from pageroles import __version__, settings
from pageroles.command.options import EXIT_FAULT
from pageroles.command.processes import set_up_logs
from pageroles.errors import PagerolesError

# In the order of the help. Each is a module of this folder.
COMMANDS = (
    "demo", "load", "serve", "gateway", "report", "keys", "domains", "status", "erase", "check", "schema", "config",
    "version",
)  # fmt: skip

_out = Console()
_err = Console(stderr=True)


class _LazyGroup(TyperGroup):
    """Imports a command's module when it is called, so that no command waits for the imports of others."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer gives its context
        """Return the names of the commands, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - typer gives its context
        """Return a command by its name; None where there is none."""
        if cmd_name not in COMMANDS:
            return None
        command = typer.main.get_command(importlib.import_module(f"pageroles.command.{cmd_name}").app)
        command.name = cmd_name
        return command


app = typer.Typer(
    name="pageroles",
    cls=_LazyGroup,
    help="Which role did each page play? The AttributionHub /pages API over ClickHouse.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(requested: bool) -> None:
    if requested:
        _out.print(f"pageroles {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    log_level: Annotated[
        str,
        typer.Option(
            envvar="PAGEROLES_LOG_LEVEL", help="Least severe log lines to write: debug, info, warning or error."
        ),
    ] = settings.LOG_LEVEL,
    version: Annotated[  # noqa: ARG001
        bool,
        typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version),
    ] = False,
) -> None:
    set_up_logs(log_level)


def main() -> None:
    """Run the command; print a fault as one sentence to standard error, and exit with code 1."""
    # The core of gRPC writes past Python, and reads this when it is imported. Its faults come as statuses, too.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        app()
    except PagerolesError as error:
        _err.print(f"[red]pageroles:[/] {error}", highlight=False, soft_wrap=True)
        raise SystemExit(EXIT_FAULT) from None
