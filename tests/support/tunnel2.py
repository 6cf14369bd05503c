"""An HTTP/2 origin that agrees to every CONNECT, extended or not (RFC 8441), and echoes its streams."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h2.settings

from tests.support.http2_frames import Header


@dataclass
class Http2TunnelOrigin:
    """Answers every CONNECT with `status`, echoes DATA, and ends the stream when the client has."""

    status: int = 200
    heads: list[dict[str, str]] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)
    ended: int = 0

    def __post_init__(self) -> None:
        origin = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(ConnectionError):
                    origin.serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

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
                self.heads.append(dict(fields(event)))
                self.received.append(b"")
                spoken.send_headers(event.stream_id, [(":status", str(self.status))])
            case h2.events.DataReceived():
                self.received[-1] += event.data
                spoken.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                spoken.send_data(event.stream_id, event.data)
            case h2.events.StreamEnded():
                self.ended += 1
                spoken.end_stream(event.stream_id)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def fields(event: h2.events.RequestReceived) -> list[Header]:
    """The fields of a request as text."""
    return [(str(name), str(value)) for name, value in event.headers]
