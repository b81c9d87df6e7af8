"""`pageroles load`: load sessions from files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from pageroles.command import progress
from pageroles.command.options import EXIT_BAD_ROWS, StoreDsn
from pageroles.ingest import loader
from pageroles.store.recovery import recover
from pageroles.store.store import Store

if TYPE_CHECKING:
    from pageroles.ingest.loader import LoadSummary

app = typer.Typer(add_completion=False)

_err = Console(stderr=True)


@app.command()
def load(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE", help="JSON Lines or Parquet files; - for standard input.")
    ],
    store: StoreDsn,
) -> None:
    """Load sessions; loading them again changes nothing. Bad rows go to FILE.rejected.jsonl; the exit code is 2."""
    with Store.open(store) as opened:
        opened.check()
        recover(opened, before_writing=True)
        with progress.bar(_err) as report:
            summary = loader.load(opened, files, report=report)
    _print_summary(summary)
    if summary.rejected:
        raise typer.Exit(EXIT_BAD_ROWS)


def _print_summary(summary: LoadSummary) -> None:
    """Print how many rows were loaded, replaced and rejected."""
    rate = summary.loaded / summary.seconds if summary.seconds else 0
    _err.print(f"[bold]{summary.loaded:,}[/] sessions loaded in {summary.seconds:.1f} s ({rate:,.0f} a second)")
    if summary.replaced:
        _err.print(f"{summary.replaced:,} more were replaced by a later row of the same session")
    for file in summary.files:
        if file.rejected:
            _err.print(f"[yellow]{file.rejected:,} rows of {file.source} rejected[/]: see {file.rejects}")
