"""The progress bar of a load."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

from pageroles.sentences import counted, escaped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from pageroles.ingest import loader


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
