"""Live the lives of some seeds, and tell how they went: a line of JSON at the end."""

from __future__ import annotations

import argparse
import faulthandler
import gc
import json
import os
import sys
import time
import traceback
from collections import Counter
from typing import Any

from support.simulated import threads

# So many lives share a process; one that failed is the last of its own.
_TOGETHER = 50
# What a life may take of real time; most take a tenth of a second.
_MOST_SECONDS = 60


def main() -> int:
    """Live, and return 1 if a life failed."""
    parser = argparse.ArgumentParser(prog="python -m support.simulated", description=__doc__)
    parser.add_argument("seeds", nargs="+", help="a seed, or FIRST-LAST")
    parser.add_argument("--meet", nargs="+", metavar="KIND", help="let each request in turn meet these faults instead")
    parser.add_argument("--whole", action="store_true", help="with --meet: also those that start and that erase")
    parser.add_argument("--trace", action="store_true", help="print what the server was asked")
    options = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":
        # Else sets would have another order each time.
        again = [sys.executable, "-m", "support.simulated", *sys.argv[1:]]
        os.execve(sys.executable, again, os.environ | {"PYTHONHASHSEED": "0"})  # noqa: S606 - this very command
    began = time.process_time()
    threads.take_over()
    from support.simulated import life  # noqa: F401, PLC0415 - after the threads; once for all processes

    gc.freeze()
    seen: Counter[str] = Counter()
    failed: dict[int, str] = {}
    seeds = [seed for text in options.seeds for seed in _seeds(text)]
    lived = 0
    while lived < len(seeds):
        for told in _apart(seeds[lived : lived + _TOGETHER], options):
            if told["error"]:
                failed[seeds[lived]] = told["error"]
            seen.update(told["seen"])
            lived += 1
    used = os.times()
    seconds = time.process_time() - began + used.children_user + used.children_system
    told = {
        "lived": lived,
        "processor_seconds": round(seconds, 1),
        "failed": failed,
        "seen": dict(sorted(seen.items())),
    }
    print(json.dumps(told, indent=1))  # noqa: T201
    return int(bool(failed))


def _apart(seeds: list[int], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Live some lives in a process of their own, up to the first that fails; return what is told of each."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        with os.fdopen(writing, "w", buffering=1) as out:
            for seed in seeds:
                told = _live(seed, options)
                out.write(json.dumps(told) + "\n")
                if told["error"]:
                    break
        sys.stderr.flush()
        sys.stdout.flush()
        # Threads of a life that failed may be left.
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as lines:
        lived = [json.loads(line) for line in lines]
    _, status = os.waitpid(child, 0)
    return [*lived, {"error": "the process ended, or the life took too long", "seen": {}}] if status else lived


def _live(seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Live one life, and tell of it."""
    from support.simulated.life import Life  # noqa: PLC0415

    faulthandler.dump_traceback_later(_MOST_SECONDS, exit=True)
    life, error = Life(seed), ""
    try:
        for kind in options.meet or ():
            life = Life(seed)
            life.meet(kind, whole=options.whole)
        if not options.meet:
            life.live()
    except BaseException as raised:  # noqa: BLE001 - told
        error = f"{type(raised).__name__}: {raised}"[-2000:]
        print(f"seed {seed}", *life.told, traceback.format_exc(), sep="\n", file=sys.stderr)  # noqa: T201
    faulthandler.cancel_dump_traceback_later()
    if options.trace:
        print(*life.network.texts, sep="\n")  # noqa: T201
    met = {f"met {kind}": times for kind, times in life.network.met.items()}
    return {"error": error, "seen": {**life.seen, **met, "requests": life.network.requests}}


def _seeds(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


if __name__ == "__main__":
    sys.exit(main())
