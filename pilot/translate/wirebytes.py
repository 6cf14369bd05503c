"""Protobuf's wire format where whole messages are joined from bytes that were serialised before."""

from __future__ import annotations


def text(number: int, value: str) -> bytes:
    """One string field."""
    return field(number, value.encode())


def field(number: int, payload: bytes) -> bytes:
    """One length-delimited field (wire type 2) with a number up to 15."""
    return bytes((number << 3 | 2,)) + varint(len(payload)) + payload


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
