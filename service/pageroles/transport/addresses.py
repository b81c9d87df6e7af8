"""Parse the addresses of servers and gateways, `host:port`, and those of callers."""

from __future__ import annotations

import functools
import re
from urllib.parse import unquote

from pageroles.errors import SettingError

_ADDRESS = re.compile(r"(?P<host>.*):(?P<port>\d{1,5})", re.ASCII)
_LAST_PORT = 65_535


def split(address: str, option: str) -> tuple[str, int]:
    """Return the host, without the brackets of IPv6, and the port of an address.

    Args:
        address: `host:port`.
        option: The option that set it, for the error's sentence.

    Raises:
        SettingError: The address has no port, or one above 65535, which the system would wrap to another.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None or int(match["port"]) > _LAST_PORT:
        raise SettingError(
            f"can't use {address!r} as an address: give host:port with a port from 0 to 65535 in {option}"
        )
    return match["host"].strip("[]"), int(match["port"])


@functools.lru_cache(1000)  # a peer asks again and again
def of_peer(peer: str) -> str:
    """Return the address of a caller, without its port, from what grpc tells, such as `ipv6:%5B::1%5D:52100`."""
    kind, _, rest = unquote(peer).partition(":")
    return rest.rpartition(":")[0].strip("[]") if kind in {"ipv4", "ipv6"} else peer
