"""Floods of TLS records behind a finished handshake: cut, or cheaper for the worker than for their sender."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import pytest

from tests.integration.hostile.flooding import Outcome, Stage, table
from tests.integration.http2.stage import tls_socket
from tests.integration.proxy.pki import Authority
from tests.support.bootstrap import direct, http_listener, static, virtual_host
from tests.support.proxies import running
from tests.support.tls13 import CLIENT_HELLO, KEY_UPDATE, Hello, Record, Tls13, message, record

SECONDS = 1.0
WITHIN = 5.0
PIECES = 10_000
BATCH = 100


def key_update(client: Tls13, requested: bool) -> bytes:
    made = client.ours.seal(Record.HANDSHAKE, message(KEY_UPDATE, bytes([requested])))
    client.ours = client.ours.next()
    return made


FLOODS: dict[str, Callable[[Tls13], bytes]] = {
    "records of nothing": lambda client: client.ours.seal(Record.DATA, b""),
    "records of padding": lambda client: client.ours.seal(0, b"\x17" + bytes(200)),
    "key updates": lambda client: key_update(client, requested=False),
    "key updates both ways": lambda client: key_update(client, requested=True),
    "key updates with data": lambda client: (
        key_update(client, requested=True) + client.ours.seal(Record.DATA, b"\r\n")
    ),
    "changes of ciphers": lambda _client: record(Record.CHANGE_CIPHER_SPEC, b"\1"),
    "warnings": lambda client: client.ours.seal(Record.ALERT, b"\1\x5a"),
    "handshake records of nothing": lambda client: client.ours.seal(Record.HANDSHAKE, b""),
    "second hellos": lambda client: client.ours.seal(Record.HANDSHAKE, Hello().message()),
    "messages of bytes": lambda client: client.ours.seal(
        Record.HANDSHAKE, message(CLIENT_HELLO, b"", 0xFFFF)[:1]
    ),
    "garbage records": lambda _client: record(Record.DATA, bytes(40)),
    "data of one byte a record": lambda client: client.ours.seal(Record.DATA, b"x"),
}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("tls-floods")
    listener = http_listener("edge", [virtual_host(direct({"prefix": "/"}, 200, "served"))])
    listener["filter_chains"][0]["transport_socket"] = tls_socket(Authority(), folder)
    with running("meshproxy", static([listener], []), folder) as proxy:
        yield (made := Stage(proxy, tls=True))
        print(table("floods of TLS records", made))


def attack(port: int, piece: Callable[[Tls13], bytes]) -> Outcome:
    """All pieces are sealed before any clock runs."""
    with Tls13(port) as client:
        client.handshake()
        pieces = [piece(client) for _ in range(PIECES)]
        client.socket.settimeout(SECONDS)
        began, began_cpu = time.monotonic(), time.thread_time()
        cut = False
        for at in range(0, PIECES, BATCH):
            try:
                client.socket.sendall(b"".join(pieces[at : at + BATCH]))
            except TimeoutError:
                break  # nobody reads what is sent: it costs the worker nothing
            except ConnectionError:
                cut = True
                break
        seconds, cpu = time.monotonic() - began, time.thread_time() - began_cpu
        return Outcome(cut or is_closed(client), seconds, cpu)


def is_closed(client: Tls13) -> bool:
    """Reads what has come; an end of it is the end."""
    with contextlib.suppress(TimeoutError):
        try:
            while client.socket.recv(1 << 16):
                pass
        except ConnectionError:
            pass
        return True
    return False


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_is_cut_or_costs_its_sender_more(stage: Stage, name: str) -> None:
    stage.assert_bounded(name, lambda port: attack(port, FLOODS[name]))
    stage.assert_nothing_left()
