"""The entry point of the `pageroles` command: its commands, and the options before them."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from pageroles import __version__, settings
from pageroles.command import shown
from pageroles.command.options import EXIT_FAULT
from pageroles.command.processes import set_up_logs
from pageroles.errors import PagerolesError, SettingError
from pageroles.sentences import escaped

if TYPE_CHECKING:
    from collections.abc import Iterator

# In the order of the help. Each is a module of this folder.
COMMANDS = (
    "demo", "load", "serve", "gateway", "report", "sessions", "values", "keys", "domains", "status", "erase", "audit",
    "check", "backup", "restore", "schema", "config", "version",
)  # fmt: skip

_out = shown.console()
_err = shown.console(stderr=True)


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

    def make_context(self, *args: Any, **more: Any) -> Any:
        """Read the options before the command."""
        with _harmless_refusals():
            return super().make_context(*args, **more)

    def invoke(self, ctx: Any) -> Any:
        """Read the command's own options, and run it."""
        with _harmless_refusals():
            return super().invoke(ctx)


@contextlib.contextmanager
def _harmless_refusals() -> Iterator[None]:
    """Make what typer says about options harmless to show: it repeats what was typed."""
    try:
        yield
    except Exception as error:
        if isinstance(message := getattr(error, "message", None), str):
            error.message = escaped(message)  # type: ignore[attr-defined]
        raise


app = typer.Typer(
    name="pageroles",
    cls=_LazyGroup,
    help="Which role did each page play? The AttributionHub /pages API over ClickHouse.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(requested: bool) -> None:
    if requested:
        shown.say(_out, f"pageroles {__version__}")
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


def _refuse_broken_text(arguments: list[str]) -> None:
    """Refuse arguments that are no UTF-8, where they are not names of files, or for a server to refuse."""
    broken = [argument for argument in arguments if not _is_utf8(argument)]
    if broken and not {"load", "report", "sessions", "values"} & set(arguments):
        raise _broken_text(broken[0])


def _broken_text(argument: str) -> SettingError:
    return SettingError(f"the argument {argument!r} is not valid UTF-8")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def main() -> None:
    """Run the command; print a fault as one sentence to standard error, and exit with code 1."""
    # The core of gRPC writes past Python, and reads this when it is imported. Its faults come as statuses, too.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    shown.accept_any_text()
    try:
        _refuse_broken_text(sys.argv[1:])
        _run()
    except PagerolesError as error:
        shown.say(_err, ("pageroles:", "red"), f" {error}")
        raise SystemExit(EXIT_FAULT) from None


def _run() -> None:
    try:
        app()
    except UnicodeEncodeError as error:
        if error.object not in sys.argv:
            raise
        raise _broken_text(error.object) from None
