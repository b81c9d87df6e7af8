"""The progress bar of a load, and what Ctrl-C says about it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

from pageroles.command import shown
from pageroles.command.options import EXIT_INTERRUPTED
from pageroles.ingest import loader
from pageroles.sentences import counted, escaped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console


@contextlib.contextmanager
def bar(console: Console) -> Iterator[Callable[[loader.Progress], None]]:
    """Show a progress bar while the block runs.

    Yields:
        A function that updates the bar with the state of the load.
    """
    columns = (
        SpinnerColumn("line" if console.options.ascii_only else "dots"),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[loaded]}"),
        TextColumn("{task.fields[rejected]}", style="yellow"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("loading", total=None, loaded="", rejected="")

        def report(state: loader.Progress) -> None:
            rejected = f"{state.rejected:,} rejected" if state.rejected else ""
            progress.update(
                task,
                description=escaped(state.source, console.encoding),
                completed=state.read,
                total=state.total,
                loaded=counted(state.loaded, "session"),
                rejected=rejected,
            )

        yield report


@contextlib.contextmanager
def interruptible(console: Console, advice: str) -> Iterator[None]:
    """Let Ctrl-C end the block with a sentence: how many sessions a load stored, if one was at work, and some advice.

    Raises:
        typer.Exit: Ctrl-C; the command is to end with the exit code of an interruption.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        stored = ""
        if isinstance(error, loader.InterruptedLoadError):
            stored = f": {counted(error.summary.loaded, 'session is', 'sessions are')} stored"
        shown.say(console, ("interrupted", "yellow"), f"{stored}; {advice}")
        raise typer.Exit(EXIT_INTERRUPTED) from None
