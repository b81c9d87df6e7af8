"""`pageroles load`: load sessions from files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pageroles.command import progress, shown
from pageroles.command.options import EXIT_BAD_ROWS, StoreDsn
from pageroles.ingest import loader
from pageroles.sentences import counted
from pageroles.store.recovery import recover
from pageroles.store.store import Store

if TYPE_CHECKING:
    from pageroles.ingest.loader import LoadSummary

app = typer.Typer(add_completion=False)

_err = shown.console(stderr=True)


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
        recover(opened)
        with progress.bar(_err) as report:
            summary = loader.load(opened, files, report=report)
    _print_summary(summary)
    if summary.rejected:
        raise typer.Exit(EXIT_BAD_ROWS)


def _print_summary(summary: LoadSummary) -> None:
    """Print how many rows were loaded, replaced and rejected."""
    rate = summary.loaded / summary.seconds if summary.seconds else 0
    shown.say(_err, f"{counted(summary.loaded, 'session')} loaded in {summary.seconds:.1f} s ({rate:,.0f} a second)")
    if summary.replaced:
        rows = counted(summary.replaced, "more was", "more were")
        shown.say(_err, f"{rows} replaced by a later row of the same session")
    for file in summary.files:
        if file.rejected:
            rows = f"{counted(file.rejected, 'row')} of {file.source} rejected"
            shown.say(_err, (rows, "yellow"), f": see {file.rejects}")
