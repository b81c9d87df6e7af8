"""SipHash-2-4 with a key of zeros, 64 bits: what orders sessions that started together (docs/semantics.md)."""

from __future__ import annotations

_MASK = 2**64 - 1


def _turned(value: int, bits: int) -> int:
    return (value << bits | value >> (64 - bits)) & _MASK


def _round(a: int, b: int, c: int, d: int) -> tuple[int, int, int, int]:
    a, c = (a + b) & _MASK, (c + d) & _MASK
    b, d = _turned(b, 13) ^ a, _turned(d, 16) ^ c
    a, c = (_turned(a, 32) + d) & _MASK, (c + b) & _MASK
    return a, _turned(b, 17) ^ c, _turned(c, 32), _turned(d, 21) ^ a


def siphash(text: bytes) -> int:
    """Return the hash of some bytes, unsigned."""
    # "somepseudorandomlygeneratedbytes", as the algorithm begins.
    a, b, c, d = 0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573
    padded = text + bytes(-(len(text) + 1) % 8) + bytes([len(text) % 256])
    for start in range(0, len(padded), 8):
        word = int.from_bytes(padded[start : start + 8], "little")
        a, b, c, d = _round(*_round(a, b, c, d ^ word))
        a ^= word
    c ^= 0xFF
    for _ in range(4):
        a, b, c, d = _round(a, b, c, d)
    return a ^ b ^ c ^ d
