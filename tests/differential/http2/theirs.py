"""h2, as the same questions put to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from tests.differential.http2.outcome import Fields, Message, Outcome, fault

_PSEUDO = (b":method", b":scheme", b":authority", b":path", b":status")


def read(role: str, bytes_read: bytes) -> Outcome:
    """What a server, or the client of a request with the method `role`, makes of the bytes."""
    peer = connection(is_client=role != "server")
    peer.initiate_connection()
    if role != "server":
        ask(peer, 1, role)
    return told(peer, bytes_read)


def told(peer: h2.connection.H2Connection, bytes_read: bytes) -> Outcome:
    """What a connection that is under way makes of the bytes."""
    try:
        return _outcome(peer.receive_data(bytes_read))
    except h2.exceptions.ProtocolError as error:
        return fault(f"{type(error).__name__}: {error}")


def connection(*, is_client: bool) -> h2.connection.H2Connection:
    config = h2.config.H2Configuration(client_side=is_client, header_encoding=None)
    return h2.connection.H2Connection(config)


def ask(peer: h2.connection.H2Connection, stream: int, method: str) -> None:
    line = [(":method", method), (":scheme", "http"), (":authority", "a:1"), (":path", "/")]
    fields = [field for field in line if method != "CONNECT" or field[0] in (":method", ":authority")]
    peer.send_headers(stream, fields, end_stream=method != "CONNECT")


def _outcome(events: Sequence[h2.events.Event]) -> Outcome:
    messages: dict[int, Message] = {}
    interim: dict[int, tuple[Fields, ...]] = {}
    for event in events:
        match event:
            case h2.events.InformationalResponseReceived(stream_id=stream, headers=headers):
                assert stream is not None
                interim[stream] = (*interim.get(stream, ()), _head(headers))
            case h2.events.RequestReceived() | h2.events.ResponseReceived():
                assert event.stream_id is not None
                messages[event.stream_id] = Message(_head(event.headers), interim.get(event.stream_id, ()))
            case h2.events.DataReceived(stream_id=stream, data=data):
                assert stream is not None
                messages[stream] = replace(messages[stream], body=messages[stream].body + (data or b""))
            case h2.events.TrailersReceived(stream_id=stream, headers=headers):
                assert stream is not None
                messages[stream] = replace(messages[stream], trailers=_fields(headers))
            case h2.events.StreamEnded(stream_id=stream):
                assert stream is not None
                messages[stream] = replace(messages[stream], complete=True)
            case h2.events.StreamReset(remote_reset=False, error_code=code):
                return fault(f"StreamReset: {code!r}")
    return Outcome(tuple(sorted(messages.items())))


def _head(headers: Sequence[tuple[bytes, bytes]] | None) -> Fields:
    fields = _fields(headers)
    pseudo = {name: value for name, value in fields if name in _PSEUDO}
    line = tuple((name, pseudo[name]) for name in _PSEUDO if name in pseudo)
    return (*line, *(field for field in fields if not field[0].startswith(b":")))


def _fields(headers: Sequence[tuple[bytes, bytes]] | None) -> Fields:
    return tuple((bytes(name), bytes(value)) for name, value in headers or ())
