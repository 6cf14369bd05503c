"""A TLS 1.3 client of raw records (RFC 8446): it says what no TLS library would, in any pieces, at any time.

X25519 and TLS_AES_128_GCM_SHA256 only, and the server's certificate is not looked at.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PATIENCE = 10.0
CLIENT_HELLO, SERVER_HELLO, FINISHED, KEY_UPDATE = 1, 2, 20, 24
AES_128_GCM_SHA256 = 0x1301


class Record(IntEnum):
    """Content types (RFC 8446 5.1)."""

    CHANGE_CIPHER_SPEC = 20
    ALERT = 21
    HANDSHAKE = 22
    DATA = 23


def record(kind: int, payload: bytes, version: int = 0x0303, length: int | None = None) -> bytes:
    """In the clear; `length` lies."""
    return struct.pack(">BHH", kind, version, len(payload) if length is None else length) + payload


def message(kind: int, body: bytes, length: int | None = None) -> bytes:
    """A handshake message; `length` lies."""
    return bytes([kind]) + (len(body) if length is None else length).to_bytes(3) + body


def extension(number: int, body: bytes) -> bytes:
    return struct.pack(">HH", number, len(body)) + body


def _listed(body: bytes, width: int = 2) -> bytes:
    return len(body).to_bytes(width) + body


@dataclass
class Hello:
    """What a ClientHello says."""

    share: bytes = b"\x09" + bytes(31)
    name: str | None = "a.test"
    protocols: tuple[bytes, ...] = (b"http/1.1",)
    versions: tuple[int, ...] = (0x0304,)
    legacy_version: int = 0x0303
    suites: tuple[int, ...] = (AES_128_GCM_SHA256,)
    compression: bytes = b"\0"
    more: bytes = b""

    def message(self) -> bytes:
        extensions = extension(10, _listed(struct.pack(">H", 0x001D)))
        extensions += extension(13, _listed(struct.pack(">5H", 0x0403, 0x0804, 0x0401, 0x0503, 0x0805)))
        if self.versions:
            offered = struct.pack(f">{len(self.versions)}H", *self.versions)
            extensions += extension(43, _listed(offered, 1))
            extensions += extension(51, _listed(struct.pack(">HH", 0x001D, len(self.share)) + self.share))
        if self.name is not None:
            extensions += extension(0, _listed(b"\0" + _listed(self.name.encode())))
        if self.protocols:
            extensions += extension(16, _listed(b"".join(_listed(name, 1) for name in self.protocols)))
        suites = struct.pack(f">{len(self.suites)}H", *self.suites)
        body = struct.pack(">H", self.legacy_version) + os.urandom(32) + _listed(bytes(32), 1)
        body += _listed(suites) + _listed(self.compression, 1) + _listed(extensions + self.more)
        return message(CLIENT_HELLO, body)


def _expand(secret: bytes, label: str, context: bytes, length: int) -> bytes:
    """HKDF-Expand-Label (RFC 8446 7.1)."""
    info = struct.pack(">H", length) + _listed(b"tls13 " + label.encode(), 1) + _listed(context, 1)
    return HKDFExpand(hashes.SHA256(), length, info).derive(secret)


def _extract(salt: bytes, secret: bytes) -> bytes:
    return hmac.digest(salt, secret, "sha256")


class Keys:
    """One direction: records are sealed and opened in their order."""

    def __init__(self, secret: bytes) -> None:
        self.secret = secret
        self._cipher = AESGCM(_expand(secret, "key", b"", 16))
        self._iv = int.from_bytes(_expand(secret, "iv", b"", 12))
        self._number = 0

    def _nonce(self) -> bytes:
        self._number += 1
        return (self._iv ^ (self._number - 1)).to_bytes(12)

    def seal(self, kind: int, payload: bytes) -> bytes:
        head = record(Record.DATA, b"", length=len(payload) + 17)
        return head + self._cipher.encrypt(self._nonce(), payload + bytes([kind]), head)

    def open(self, head: bytes, sealed: bytes) -> tuple[int, bytes]:
        inner = self._cipher.decrypt(self._nonce(), sealed, head).rstrip(b"\0")
        return inner[-1], inner[:-1]

    def next(self) -> Keys:
        """Behind a KeyUpdate."""
        return Keys(_expand(self.secret, "traffic upd", b"", 32))


@dataclass
class Tls13:
    """One connection. After `handshake` the keys `ours` and `theirs` are those of application data."""

    port: int
    hello: Hello = field(default_factory=Hello)
    # The pieces in which the ClientHello is sent.
    cut: Callable[[bytes], list[bytes]] = lambda hello: [record(Record.HANDSHAKE, hello, 0x0301)]

    def __post_init__(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._private = X25519PrivateKey.generate()
        self.hello.share = self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self._transcript = b""
        self._master = b""

    def __enter__(self) -> Tls13:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.socket.close()

    def begin(self) -> None:
        """ClientHello, and all that the server says to it; what is left to send is `finished`."""
        first = self.hello.message()
        for piece in self.cut(first):
            self.socket.sendall(piece)
        _, answer = self._receive()
        self._transcript = first + answer
        self._agree(answer)
        said = b""
        while not self._complete(said):
            head, sealed = self._receive()
            if head[0] == Record.DATA:
                said += self.theirs.open(head, sealed)[1]
        self._transcript += said

    def handshake(self) -> None:
        self.begin()
        self.socket.sendall(self.finished())
        self.switch()

    def finished(self) -> bytes:
        """The last record of the handshake."""
        key = _expand(self.ours.secret, "finished", b"", 32)
        proof = hmac.digest(key, hashlib.sha256(self._transcript).digest(), "sha256")
        return self.ours.seal(Record.HANDSHAKE, message(FINISHED, proof))

    def switch(self) -> None:
        """From here on it is application data, both ways."""
        seen = hashlib.sha256(self._transcript).digest()
        self.ours = Keys(_expand(self._master, "c ap traffic", seen, 32))
        self.theirs = Keys(_expand(self._master, "s ap traffic", seen, 32))

    def send(self, data: bytes, kind: int = Record.DATA) -> None:
        self.socket.sendall(self.ours.seal(kind, data))

    def receive(self) -> tuple[int, bytes]:
        """The next record; (0, b"") at the end of the connection."""
        while True:
            head, sealed = self._receive()
            if not head:
                return 0, b""
            if head[0] != Record.CHANGE_CIPHER_SPEC:
                return self.theirs.open(head, sealed)

    def _receive(self) -> tuple[bytes, bytes]:
        head = self._exactly(5)
        return head, self._exactly(int.from_bytes(head[3:])) if head else b""

    def _exactly(self, length: int) -> bytes:
        got = b""
        while len(got) < length:
            piece = self.socket.recv(length - len(got))
            if not piece:
                return b""
            got += piece
        return got

    def _agree(self, answer: bytes) -> None:
        """Keys of the handshake (RFC 8446 7.1), from the ServerHello."""
        assert answer[:1] == bytes([SERVER_HELLO]), f"not a ServerHello: {answer!r}"
        theirs = X25519PublicKey.from_public_bytes(_share_of(answer))
        none = hashlib.sha256(b"").digest()
        early = _expand(_extract(bytes(32), bytes(32)), "derived", none, 32)
        secret = _extract(early, self._private.exchange(theirs))
        seen = hashlib.sha256(self._transcript).digest()
        self.ours = Keys(_expand(secret, "c hs traffic", seen, 32))
        self.theirs = Keys(_expand(secret, "s hs traffic", seen, 32))
        self._master = _extract(_expand(secret, "derived", none, 32), bytes(32))

    @staticmethod
    def _complete(said: bytes) -> bool:
        at = 0
        while at + 4 <= len(said):
            end = at + 4 + int.from_bytes(said[at + 1 : at + 4])
            if said[at] == FINISHED and end <= len(said):
                return True
            at = end
        return False


def _share_of(answer: bytes) -> bytes:
    """The server's key share in its ServerHello."""
    at = 4 + 2 + 32
    at += 1 + answer[at] + 3 + 2  # session id, cipher suite, compression, length of the extensions
    while at < len(answer):
        number, length = struct.unpack_from(">HH", answer, at)
        if number == 51:
            return answer[at + 8 : at + 4 + length]
        at += 4 + length
    raise AssertionError("no key share")
