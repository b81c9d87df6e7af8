"""SipHash-2-4 with a key of zeros, in plain Python: ClickHouse's `sipHash64`."""

from __future__ import annotations

import functools

_MASK = 2**64 - 1
# The bytes of "somepseudorandomlygeneratedbytes", which the algorithm starts from.
_START = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)


@functools.lru_cache(maxsize=100_000)
def sip_hash(text: str) -> int:
    """Return the hash of a text's UTF-8, unsigned."""
    data = text.encode()
    # The last word has what is left of the bytes, and their number modulo 256 in its highest byte.
    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) % 256])
    v = list(_START)
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        v[3] ^= word
        _rounds(v, 2)
        v[0] ^= word
    v[2] ^= 0xFF
    _rounds(v, 4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def _rounds(v: list[int], count: int) -> None:
    for _ in range(count):
        v[0] = (v[0] + v[1]) & _MASK
        v[1] = _rotated(v[1], 13) ^ v[0]
        v[0] = _rotated(v[0], 32)
        v[2] = (v[2] + v[3]) & _MASK
        v[3] = _rotated(v[3], 16) ^ v[2]
        v[0] = (v[0] + v[3]) & _MASK
        v[3] = _rotated(v[3], 21) ^ v[0]
        v[2] = (v[2] + v[1]) & _MASK
        v[1] = _rotated(v[1], 17) ^ v[2]
        v[2] = _rotated(v[2], 32)


def _rotated(word: int, bits: int) -> int:
    return (word << bits | word >> (64 - bits)) & _MASK
