"""What REST adds to a small request: the same question over gRPC and over REST, alternately.

Run with `make bench-rest`.
"""

from __future__ import annotations

import http.client
import json
import statistics
import time

import typer
from rich.console import Console

from benchmarks import adapter, data
from benchmarks.cases import FIRST_DAY, LAST_DAY, Question, Traffic
from pageroles.rest_shape import to_answer

_DOMAIN = data.small_domain(0)
_WARM_UP = 20


def main(rounds: int = 500) -> None:
    """Ask for a domain of 1,000 sessions, over one open connection each, and print the medians."""
    console = Console()
    adapter.refuse_debug_build()
    made = data.make(Traffic(sessions=1_000_000, pages=200, domains=1000), console.print, export=False)
    with adapter.ServerProcess(made.store(data.LOADED), merges=False, http=True) as server:
        connection = http.client.HTTPConnection(server.http)
        question = adapter.request(Question("any"))
        body = json.dumps({"start_date": f"{FIRST_DAY}", "end_date": f"{LAST_DAY}"})
        headers = {"Authentication": server.key, "Domain": _DOMAIN, "Content-Type": "application/json"}

        def grpc() -> bytes:
            return server.ask(question, _DOMAIN)

        def rest() -> bytes:
            connection.request("POST", "/api/v1/pages", body, headers)
            return connection.getresponse().read()

        if json.loads(rest()) != to_answer([grpc()]):
            raise SystemExit("REST gives another answer")
        times: dict[str, list[float]] = {"gRPC": [], "REST": []}
        for nth in range(rounds + _WARM_UP):
            for name, ask in (("gRPC", grpc), ("REST", rest)):
                began = time.perf_counter()
                ask()
                if nth >= _WARM_UP:
                    times[name].append((time.perf_counter() - began) * 1000)
        connection.close()
    medians = {name: statistics.median(found) for name, found in times.items()}
    p99 = {name: statistics.quantiles(found, n=100)[98] for name, found in times.items()}
    for name in times:
        console.print(f"{name}: median {medians[name]:.2f} ms, 99th percentile {p99[name]:.2f} ms of {rounds} requests")
    console.print(f"REST adds {medians['REST'] - medians['gRPC']:.2f} ms to the median")


if __name__ == "__main__":
    typer.run(main)
