"""Addresses as they are given to a server or a gateway: `host:port`."""

from __future__ import annotations

import re

from pageroles.errors import SettingError

_ADDRESS = re.compile(r"(?P<host>.*):(?P<port>\d{1,5})", re.ASCII)
_LAST_PORT = 65_535


def split(address: str, option: str) -> tuple[str, int]:
    """Return the host, without the brackets of IPv6, and the port of an address.

    Args:
        address: `host:port`.
        option: The option that it was given by, for the sentence.

    Raises:
        SettingError: It has no port, or one that can't be: the system would take 99999 for another.
    """
    found = _ADDRESS.fullmatch(address)
    if found is None or int(found["port"]) > _LAST_PORT:
        raise SettingError(
            f"can't use {address!r} as an address: give host:port with a port from 0 to 65535 in {option}"
        )
    return found["host"].strip("[]"), int(found["port"])
