"""The slow twin of the telemetry readers, and a writer: the layout once more, in plain Python.

Written from fastpath/rust/shm/src/layout.rs alone, without the code it is compared with. One process only:
nothing here is atomic.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

MAGIC = struct.unpack("=Q", b"MLTELEM1")[0]
HEADER_LEN = 512
DESCRIPTOR_HEAD = 16
MAX_DESCRIPTOR = 16 * 1024
EPOCH, GENERATION, WRITER, PUBLISHED, HEARTBEAT, DROPPED, REPAIRS, REBUILDS = range(8, 16)
COUNTER, GAUGE, HISTOGRAM = 1, 2, 3
WIDTHS = {(COUNTER, 0): 1, (GAUGE, 0): 1, (HISTOGRAM, 1): 21, (HISTOGRAM, 2): 21, (HISTOGRAM, 3): 21}


class Unreadable(Exception):
    """The bytes are not a region that can be read."""


@dataclass(frozen=True)
class Record:
    """A series: kind, bucket set, names and where its value is."""

    kind: int
    bounds: int
    flat: str
    base: str
    labels: tuple[tuple[str, str], ...]
    value: int


def fnv1a(raw: bytes) -> int:
    value = 0x811C9DC5
    for byte in raw:
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


def guard(number: int) -> int:
    return (number ^ 0xFFFFFFFF) << 32 | number


def unguard(word: int) -> int:
    if guard(word & 0xFFFFFFFF) != word:
        raise Unreadable("guarded word")
    return word & 0xFFFFFFFF


def read(region: bytes) -> tuple[int, list[Record], list[int]]:
    """Epoch, series and value words of a whole region. Raises Unreadable."""
    words = struct.unpack(f"={len(region) // 8}Q", region)
    values_at = len(region) // 4 * 3 // 8 * 8
    fixed = (MAGIC, 1, len(region), HEADER_LEN, values_at, (len(region) - values_at) // 8)
    if words[EPOCH] == 0 or words[: len(fixed)] != fixed:
        raise Unreadable("header")
    unguard(words[EPOCH])
    records = list(_records(region[:values_at], unguard(words[PUBLISHED])))
    used = sum(WIDTHS[record.kind, record.bounds] for record in records)
    if values_at // 8 + used > len(words):
        raise Unreadable("values")
    return words[EPOCH], records, list(words[values_at // 8 : values_at // 8 + used])


def _records(region: bytes, count: int) -> Iterator[Record]:
    at, used = HEADER_LEN, 0
    for _ in range(count):
        if len(region) - at < DESCRIPTOR_HEAD:
            raise Unreadable("descriptors end")
        length, checksum, value, kind, bounds, labels = struct.unpack_from("=IIIBBH", region, at)
        if length < DESCRIPTOR_HEAD or length > MAX_DESCRIPTOR or length % 8 or at + length > len(region):
            raise Unreadable("length")
        if fnv1a(region[at + 8 : at + length]) != checksum:
            raise Unreadable("checksum")
        if (kind, bounds) not in WIDTHS or value != used:
            raise Unreadable("kind or value")
        flat, base, *pairs = _texts(region[at + DESCRIPTOR_HEAD : at + length], 2 + 2 * labels)
        yield Record(kind, bounds, flat, base, tuple(zip(pairs[::2], pairs[1::2], strict=True)), value)
        at, used = at + length, used + WIDTHS[kind, bounds]


def _texts(raw: bytes, count: int) -> Iterator[str]:
    at = 0
    for _ in range(count):
        if len(raw) - at < 2:
            raise Unreadable("text")
        (length,) = struct.unpack_from("=H", raw, at)
        if len(raw) - at - 2 < length:
            raise Unreadable("text")
        try:
            yield raw[at + 2 : at + 2 + length].decode()
        except UnicodeDecodeError as fault:
            raise Unreadable("text") from fault
        at += 2 + length


@dataclass
class Writer:
    """A worker's side of a region: registers series and counts."""

    memory: bytearray
    epoch: int
    _next: int = HEADER_LEN
    _used: int = 0
    _known: dict[tuple[object, ...], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        length = len(self.memory)
        values_at = length // 4 * 3 // 8 * 8
        self._values_at = values_at
        self.memory[:] = bytes(length)
        fixed = (MAGIC, 1, length, HEADER_LEN, values_at, (length - values_at) // 8)
        self.memory[: 6 * 8] = struct.pack("=6Q", *fixed)
        self.store(6, fnv1a(bytes(self.memory[: 6 * 8])))
        self.store(GENERATION, 1)
        self.store(PUBLISHED, guard(0))
        self.store(EPOCH, guard(self.epoch))

    def store(self, word: int, value: int) -> None:
        struct.pack_into("=Q", self.memory, word * 8, value)

    def series(
        self, name: str, labels: Sequence[tuple[str, str]] = (), *, kind: int = COUNTER, bounds: int = 0
    ) -> int:
        """The value word of a series whose flat and base names are the same; made if it is new."""
        key = (name, tuple(labels), kind, bounds)
        if key in self._known:
            return self._known[key]
        texts = [text.encode() for text in (name, name, *(t for label in labels for t in label))]
        body = struct.pack("=IBBH", self._used, kind, bounds, len(labels))
        body += b"".join(struct.pack("=H", len(text)) + text for text in texts)
        body += bytes(-(len(body) + 8) % 8)
        raw = struct.pack("=II", len(body) + 8, fnv1a(body)) + body
        self.memory[self._next : self._next + len(raw)] = raw
        self._next += len(raw)
        word = self._known[key] = self._used
        self._used += WIDTHS[kind, bounds]
        self.store(PUBLISHED, guard(len(self._known)))
        return word

    def add(self, word: int, amount: int = 1) -> None:
        """Count on a value word."""
        at = self._values_at + word * 8
        (value,) = struct.unpack_from("=Q", self.memory, at)
        struct.pack_into("=Q", self.memory, at, (value + amount) & 0xFFFFFFFFFFFFFFFF)

    def count(self, name: str, amount: int = 1, **labels: str) -> None:
        """Count on a counter."""
        self.add(self.series(name, tuple(labels.items())), amount)

    def record(self, name: str, bucket: int, amount: int, **labels: str) -> None:
        """Count one observation of `amount` recorded units in a bucket of an Istio histogram."""
        word = self.series(name, tuple(labels.items()), kind=HISTOGRAM, bounds=1)
        self.add(word + bucket)
        self.add(word + 20, amount)
