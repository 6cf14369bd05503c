"""h11, as the same questions put to it."""

from __future__ import annotations

from collections.abc import Sequence

import h11

from tests.differential.http1.outcome import Fields, Head, Outcome, fault

_HEAD_LIMIT = 60 * 1024


def read(role: str, pieces: Sequence[bytes]) -> Outcome:
    """What a server, or the client of a request with the method `role`, makes of `pieces` and the end."""
    connection = h11.Connection(
        h11.SERVER if role == "server" else h11.CLIENT, max_incomplete_event_size=_HEAD_LIMIT
    )
    if role != "server":
        connection.send(_request(role))
        connection.send(h11.EndOfMessage())
    try:
        return _drain(connection, [*(piece for piece in pieces if piece), b""])
    except h11.RemoteProtocolError as error:
        return fault(str(error))


def _request(method: str) -> h11.Request:
    """One that allows every answer, a change of protocol too."""
    target = "a:1" if method == "CONNECT" else "/"
    headers = [("host", "a"), ("connection", "upgrade"), ("upgrade", "x")]
    return h11.Request(method=method, target=target, headers=headers)


def _drain(connection: h11.Connection, pieces: Sequence[bytes]) -> Outcome:
    head: Head | None = None
    fields, body, trailers, interim = Fields(), b"", Fields(), []
    for piece in pieces:
        connection.receive_data(piece)
        while (event := connection.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
            match event:
                case h11.Request(method=method, target=target, http_version=version):
                    head, fields = (bytes(method), bytes(target), bytes(version)), _fields(event.headers)
                case h11.InformationalResponse(status_code=status) if status != 101:
                    interim.append((status, bytes(event.reason), bytes(event.http_version)))
                case h11.InformationalResponse() | h11.Response():
                    head = (event.status_code, bytes(event.reason), bytes(event.http_version))
                    fields = _fields(event.headers)
                case h11.Data(data=data):
                    body += bytes(data)
                case h11.EndOfMessage(headers=headers):
                    return Outcome(head, fields, body, _fields(headers), True, tuple(interim))
                case h11.ConnectionClosed():
                    return Outcome(head, fields, body, trailers, head is not None, tuple(interim))
        if event is h11.PAUSED:
            return Outcome(head, fields, body, trailers, True, tuple(interim))
    return Outcome(head, fields, body, trailers, False, tuple(interim))


def _fields(headers: Sequence[tuple[bytes, bytes]]) -> Fields:
    return tuple((bytes(name).lower(), bytes(value)) for name, value in headers)
