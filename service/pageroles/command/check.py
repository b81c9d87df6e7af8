"""`pageroles check`: look for what should not be in the store, and mend it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pageroles.command import shown, tables
from pageroles.command.options import EXIT_FAULT, StoreDsn
from pageroles.sentences import counted
from pageroles.store import soundness
from pageroles.store.store import Store

if TYPE_CHECKING:
    from pageroles.store.soundness import GivenUp

app = typer.Typer(add_completion=False)

_out = shown.console()
_err = shown.console(stderr=True)

# A server says nothing while it reads a large table to its end.
_SILENCE_SECONDS = 3600.0


@app.command()
def check(
    store: StoreDsn,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended.")] = False,
    accept_loss: Annotated[
        bool,
        typer.Option(
            "--accept-loss",
            help="Give up what can't be mended: drop parts whose files are damaged, and erase sessions that lost their "
            "row. Then mend the rest.",
        ),
    ] = False,
) -> None:
    """Look for what should not be in the store; exit with 1 if something is left, with 0 if the store is sound."""
    with Store.open(store, silence=_SILENCE_SECONDS, create=False) as opened:
        opened.check()
        with _err.status("looking") as status:
            found = soundness.look(opened, lambda name: status.update(f"looking: {name}"))
            left = given_up = None
            if accept_loss and any(finding.count for finding in found):
                status.update("giving up what is lost")
                given_up = soundness.give_up(opened)
            if given_up or (repair and any(finding.count and not finding.advice for finding in found)):
                soundness.mend(opened, lambda name: status.update(f"mending: {name}"))
                left = soundness.look(opened, lambda name: status.update(f"looking again: {name}"))
    if any(finding.count for finding in (*found, *(left or ()))):
        _out.print(tables.findings(found, left))
    if given_up:
        _print_given_up(given_up)
    remaining = [finding for finding in (found if left is None else left) if finding.count]
    if not remaining:
        shown.say(_err, "the store is sound")
        return
    for finding in remaining:
        advice = finding.advice or "run `pageroles check --repair`"
        shown.say(_err, f"{finding.name}: {advice}")
    raise typer.Exit(EXIT_FAULT)


def _print_given_up(given_up: GivenUp) -> None:
    """Print what was given up, so that it can be loaded again."""
    for part in given_up.parts:
        shown.say(_err, f"given up: {part}")
    if given_up.writes:
        batches = counted(given_up.writes, "batch of a load that was", "batches of loads that were")
        shown.say(_err, f"given up: {batches} cut short")
    if given_up.sessions:
        shown.say(_err, f"given up: {counted(given_up.sessions, 'session')} whose row is lost")
