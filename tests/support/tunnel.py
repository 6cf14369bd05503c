"""Origins that agree to a tunnel and echo its bytes, over HTTP/1 and HTTP/2; readers of what comes back."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h2.settings

from tests.support.http2_frames import text
from tests.support.server import LoopbackServer

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


@dataclass
class TunnelOrigin(LoopbackServer):
    """Reads one head (none, where `answer` is empty), answers, then echoes until the other side ends."""

    answer: bytes = SWITCH
    # Sent once the other side has ended.
    farewell: bytes = b""
    # Ends the connection after the answer.
    hangs_up: bool = False
    heads: list[bytes] = field(default_factory=list)
    # What came after each head.
    received: list[bytes] = field(default_factory=list)
    # How many clients have ended their side in good order.
    ended: int = 0

    def serve(self, connection: socket.socket) -> None:
        head, rest = read_head(connection) if self.answer else (b"", b"")
        self.heads.append(head)
        place = len(self.received)
        self.received.append(rest)
        connection.sendall(self.answer + rest)
        if self.hangs_up:
            return
        while data := connection.recv(65536):
            self.received[place] += data
            connection.sendall(data)
        self.ended += 1
        connection.sendall(self.farewell)


@dataclass
class Http2TunnelOrigin(LoopbackServer):
    """Answers every CONNECT, extended (RFC 8441) or not, then echoes DATA until the stream ends."""

    status: int = 200
    heads: list[dict[str, str]] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)
    ended: int = 0

    def serve(self, connection: socket.socket) -> None:
        config = h2.config.H2Configuration(
            client_side=False, header_encoding="latin-1", validate_inbound_headers=False
        )
        spoken = h2.connection.H2Connection(config)
        spoken.local_settings[h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL] = 1
        spoken.initiate_connection()
        connection.sendall(spoken.data_to_send())
        while received := connection.recv(65536):
            for event in spoken.receive_data(received):
                self.answer(spoken, event)
            connection.sendall(spoken.data_to_send())

    def answer(self, spoken: h2.connection.H2Connection, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived():
                self.heads.append(dict(text(event.headers)))
                self.received.append(b"")
                spoken.send_headers(event.stream_id, [(":status", str(self.status))])
            case h2.events.DataReceived():
                self.received[-1] += event.data
                spoken.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                spoken.send_data(event.stream_id, event.data)
            case h2.events.StreamEnded():
                self.ended += 1
                spoken.end_stream(event.stream_id)


def read_head(connection: socket.socket) -> tuple[bytes, bytes]:
    """A head with its empty line, and what came with it. Raises ConnectionError when it does not come."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            raise ConnectionError(f"ended within a head: {data!r}")
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", rest


def read_exactly(connection: socket.socket, length: int) -> bytes:
    """So many bytes, or fewer when the connection ends before."""
    data = b""
    while len(data) < length and (more := connection.recv(length - len(data))):
        data += more
    return data


def fields_of(head: bytes) -> dict[str, str]:
    """The fields of a head, names in lower case."""
    lines = head.decode("latin-1").split("\r\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
