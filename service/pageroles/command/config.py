"""`pageroles config`: every setting in force, and where it comes from."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any, NamedTuple

import msgspec
import typer

from pageroles.command import shown, tables
from pageroles.sentences import escaped_json
from pageroles.store.server import without_password

app = typer.Typer(add_completion=False)

_out = shown.console()
_HIDDEN = "…"


class Setting(NamedTuple):
    """A setting as it is in force, where no option is given.

    Attributes:
        variable: The environment variable.
        option: The option of the same meaning.
        commands: The commands that have it.
        value: The value; of a secret, `…`.
        source: `environment` or `default`.
    """

    variable: str
    option: str
    commands: tuple[str, ...]
    value: str
    source: str


@app.command()
def config(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """Show every setting that has an environment variable, its value and where that comes from; secrets are hidden."""
    found = settings_in_force(context.find_root().command)
    if json:
        sys.stdout.write(escaped_json(msgspec.json.encode([setting._asdict() for setting in found])).decode() + "\n")
    else:
        _out.print(tables.settings(found))


def settings_in_force(root: Any) -> list[Setting]:
    """Return the settings of a command and of all commands below it, by their variables.

    Args:
        root: The `pageroles` command, as click knows it.
    """
    by_variable: dict[str, Setting] = {}
    for name, command in _commands(root):
        for option in command.params:
            if option.envvar:
                known = by_variable.get(option.envvar)
                commands = (*(known.commands if known else ()), name)
                by_variable[option.envvar] = _setting(option, tuple(filter(None, commands)))
    return [setting for _, setting in sorted(by_variable.items())]


def _commands(command: Any, name: str = "") -> list[tuple[str, Any]]:
    found = [(name, command)]
    for below in getattr(command, "list_commands", lambda _: ())(None):
        found += _commands(command.get_command(None, below), f"{name} {below}".strip())
    return found


def _setting(option: Any, commands: tuple[str, ...]) -> Setting:
    given = os.environ.get(option.envvar)
    value = given or _default(option)
    if option.envvar == "PAGEROLES_KEY":
        value = _HIDDEN if value else ""
    elif option.envvar == "PAGEROLES_STORE":
        value = _hidden(value)
    return Setting(option.envvar, max(option.opts, key=len), commands, value, "environment" if given else "default")


def _default(option: Any) -> str:
    default = option.default() if callable(option.default) else option.default
    if default is None or default == []:
        return str(option.show_default) if isinstance(option.show_default, str) else ""
    return str(default)


def _hidden(dsn: str) -> str:
    """Return a DSN without its password; nothing of one that can't be read."""
    try:
        return without_password(dsn)
    except ValueError:
        return _HIDDEN
