"""`pageroles check`: look for what should not be in the store, and mend it."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from pageroles.command import tables
from pageroles.command.options import EXIT_FAULT, StoreDsn
from pageroles.store import soundness
from pageroles.store.store import Store

app = typer.Typer(add_completion=False)

_out = Console()
_err = Console(stderr=True)

# A server says nothing while it reads a large table to its end.
_SILENCE_SECONDS = 3600.0


@app.command()
def check(
    store: StoreDsn,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended.")] = False,
) -> None:
    """Look for what should not be in the store; exit with 1 if something is left, with 0 if the store is sound."""
    with Store.open(store, silence=_SILENCE_SECONDS) as opened:
        opened.check()
        with _err.status("looking") as status:
            found = soundness.look(opened, lambda name: status.update(f"looking: {name}"))
            left = None
            if repair and any(finding.count and not finding.advice for finding in found):
                soundness.mend(opened, lambda name: status.update(f"mending: {name}"))
                left = soundness.look(opened, lambda name: status.update(f"looking again: {name}"))
    if any(finding.count for finding in (*found, *(left or ()))):
        _out.print(tables.findings(found, left))
    remaining = [finding for finding in (found if left is None else left) if finding.count]
    if not remaining:
        _err.print("the store is sound", highlight=False)
        return
    for finding in remaining:
        advice = finding.advice or "run `pageroles check --repair`"
        _err.print(f"{finding.name}: {advice}", highlight=False, soft_wrap=True, markup=False)
    raise typer.Exit(EXIT_FAULT)
