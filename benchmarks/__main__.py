"""`python -m benchmarks run | quick | load | many | render`; the Makefile calls it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import adapter, cases

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
_console = Console(width=140)
# Nothing in this folder is committed.
_QUICK_DOCS = Path("build/bench/quick")

Size = Annotated[str, typer.Option(help="Sessions of the large traffic: 10M, 200k, …; a tenth is measured too.")]
Rounds = Annotated[int, typer.Option(min=1, help="How often each contestant is measured.")]


@app.command()
def run(size: Size = "10M", rounds: Rounds = 5, repeats: int = 3) -> None:
    """Measure everything, and write docs/benchmarks.md."""
    from benchmarks import page, tables  # noqa: PLC0415
    from benchmarks.run import run as measure  # noqa: PLC0415

    adapter.refuse_debug_build()
    results = measure(cases.number(size), rounds, repeats, _progress)
    written = page.write(results)
    tables.show(results, page.goals(results), _console)
    _console.print(f"written: {written}")


@app.command()
def quick(size: Size = "1M") -> None:
    """Measure the most important in a few minutes, and write nothing that is committed."""
    from benchmarks import page, tables  # noqa: PLC0415
    from benchmarks.run import run as measure  # noqa: PLC0415

    adapter.refuse_debug_build()
    results = measure(cases.number(size), 1, 5, _progress, quick=True)
    written = page.write(results, _QUICK_DOCS)
    tables.show(results, page.goals(results, _QUICK_DOCS), _console)
    _console.print(f"The targets are meant for 10M sessions. Written: {written}")


@app.command()
def load(
    size: Annotated[str, typer.Option(help="Sessions of the large domain.")] = "10M",
    seconds: Annotated[int, typer.Option(min=1, max=120, help="How long each load of small requests lasts.")] = 10,
) -> None:
    """Put load on a server over gRPC, and add the figures to docs/benchmarks.md."""
    from benchmarks import load as loads  # noqa: PLC0415
    from benchmarks import page  # noqa: PLC0415

    adapter.refuse_debug_build()
    found = loads.run(cases.number(size), seconds, _progress)
    for table in loads.tables(found):
        _console.print(table.rich())
    _console.print(f"written: {page.write_load(found)}")


@app.command()
def many(size: Annotated[str, typer.Option(help="Sessions: 100M, 1M, …")] = "100M") -> None:
    """Count a hundred million sessions in the core alone, and add the figures to docs/benchmarks.md."""
    from benchmarks import many as counted  # noqa: PLC0415
    from benchmarks import page  # noqa: PLC0415

    found = counted.run(cases.number(size), _progress)
    _console.print(counted.table(found).rich())
    _console.print(f"written: {page.write_many(found)}")


@app.command()
def render() -> None:
    """Write docs/benchmarks.md and the plots again from the figures beside it."""
    from benchmarks import page  # noqa: PLC0415

    _console.print(f"written: {page.render()}")


def _progress(what: str) -> None:
    _console.print(f"[dim]{what}[/]", highlight=False)


if __name__ == "__main__":
    app()
