"""A bare gRPC server: it answers every request with the same bytes. What pageroles takes beyond it is its own.

Takes the number of bytes for its argument, prints its address, and ends with standard input.
"""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import grpc

from benchmarks import adapter

_THREADS = 72


class EchoProcess:
    """Such a server in a process of its own."""

    key = "none"

    def __init__(self, answer_bytes: int) -> None:
        """Start it, and wait until it serves."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.echo", str(answer_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.target = self._process.stdout.readline().strip()

    def __enter__(self) -> Self:
        """Return the server itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the server."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)


def main(answer_bytes: int) -> None:
    """Serve until standard input ends."""
    answer = bytes(answer_bytes)

    def handle(_request: bytes, _context: Any) -> bytes:
        return answer

    service, _, method = adapter.METHOD.strip("/").partition("/")
    server = grpc.server(ThreadPoolExecutor(_THREADS), options=[("grpc.so_reuseport", 0)])
    handler = grpc.unary_unary_rpc_method_handler(handle, bytes, bytes)
    server.add_registered_method_handlers(service, {method: handler})
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"127.0.0.1:{port}\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.stop(None).wait()


if __name__ == "__main__":
    main(int(sys.argv[1]))
