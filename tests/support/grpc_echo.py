"""A gRPC service on grpcio with all four kinds of calls, and clients of it. Messages are plain bytes."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc

SERVICE = "test.Echo"
Context = grpc.ServicerContext


@dataclass
class EchoService:
    """Echoes. A request's metadata script it: `say-status: 5`, `say-text: gone`, `wait: 0.5`, `count: 3`."""

    # Metadata of the calls that began, in order.
    calls: list[dict[str, str]] = field(default_factory=list)
    # Set when a call was cancelled while it ran.
    cancelled: threading.Event = field(default_factory=threading.Event)
    # Messages that streaming calls have given to the transport so far.
    sent: int = 0

    def unary(self, message: bytes, context: Context) -> bytes:
        script = self._begin(context)
        self._wait(script, context)
        self._end(script, context)
        return message

    def server_stream(self, message: bytes, context: Context) -> Iterator[bytes]:
        script = self._begin(context)
        for _ in range(int(script.get("count", "3"))):
            self.sent += 1
            yield message
        self._wait(script, context)
        self._end(script, context)

    def client_stream(self, messages: Iterator[bytes], context: Context) -> bytes:
        script = self._begin(context)
        joined = b"".join(messages)
        self._end(script, context)
        return joined

    def bidirectional(self, messages: Iterator[bytes], context: Context) -> Iterator[bytes]:
        script = self._begin(context)
        for message in messages:
            self.sent += 1
            yield message
        self._end(script, context)

    def _begin(self, context: Context) -> dict[str, str]:
        script = {key: str(value) for key, value in context.invocation_metadata()}
        script["deadline"] = str(context.time_remaining())
        self.calls.append(script)
        context.set_trailing_metadata((("x-trailer", "t"), ("x-bin", b"\x00\xff")))
        if "refuse" in script:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "refused")
        context.send_initial_metadata((("x-head", "h"),))

        def over() -> None:
            if "ended" not in script:
                self.cancelled.set()

        # A callback: grpcio does not run a generator on when its call is cancelled while a message goes out.
        if not context.add_callback(over):
            over()
        return script

    def _wait(self, script: dict[str, str], context: Context) -> None:
        deadline = time.monotonic() + float(script.get("wait", "0"))
        while context.is_active() and time.monotonic() < deadline:
            time.sleep(0.01)

    def _end(self, script: dict[str, str], context: Context) -> None:
        if context.is_active():
            script["ended"] = "yes"
        if status := int(script.get("say-status", "0")):
            code = next(code for code in grpc.StatusCode if code.value[0] == status)
            context.abort(code, script.get("say-text", ""))

    def handlers(self) -> grpc.GenericRpcHandler[bytes, bytes]:
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Unary": grpc.unary_unary_rpc_method_handler(self.unary),
                "ServerStream": grpc.unary_stream_rpc_method_handler(self.server_stream),
                "ClientStream": grpc.stream_unary_rpc_method_handler(self.client_stream),
                "Bidirectional": grpc.stream_stream_rpc_method_handler(self.bidirectional),
            },
        )


@contextlib.contextmanager
def serving(service: EchoService, credentials: grpc.ServerCredentials | None = None) -> Iterator[int]:
    """The port on 127.0.0.1 at which `service` is served."""
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((service.handlers(),))
    if credentials:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield int(port)
    finally:
        server.stop(0).wait()


@dataclass(frozen=True)
class EchoClient:
    """The four calls over a channel."""

    unary: Any
    server_stream: Any
    client_stream: Any
    bidirectional: Any


@contextlib.contextmanager
def client(
    port: int,
    *options: tuple[str, Any],
    credentials: grpc.ChannelCredentials | None = None,
    authority: str = "a.test",
) -> Iterator[EchoClient]:
    """A client with a connection of its own."""
    every = [
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),
        ("grpc.default_authority", authority),
        *options,
    ]
    target = f"127.0.0.1:{port}"
    channel = (
        grpc.secure_channel(target, credentials, every)
        if credentials
        else grpc.insecure_channel(target, every)
    )
    with channel:
        yield EchoClient(
            channel.unary_unary(f"/{SERVICE}/Unary", None, None),
            channel.unary_stream(f"/{SERVICE}/ServerStream", None, None),
            channel.stream_unary(f"/{SERVICE}/ClientStream", None, None),
            channel.stream_stream(f"/{SERVICE}/Bidirectional", None, None),
        )
