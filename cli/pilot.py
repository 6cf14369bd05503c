"""Pilot as the commands see it: the rule API and proxy status, with failures as messages and exit codes."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import click
import grpc
from meshloom.api.config.v1 import config_pb2, config_pb2_grpc
from meshloom.cli.context import pilot_address
from meshloom.cli.errors import CliError, Exit

F = TypeVar("F", bound=Callable[..., Any])
_DEADLINE_S = 10.0
_CONNECT_S = 3.0


def pilot_option(command: F) -> F:
    """`--pilot HOST:PORT`, the same in every command."""
    return click.option(
        "--pilot",
        envvar="MESHLOOM_PILOT",
        metavar="HOST:PORT",
        help="Pilot's gRPC address; default: the mesh that runs on this machine.",
    )(command)


@contextmanager
def pilot_channel(given: str | None) -> Iterator[grpc.Channel]:
    """A channel that is connected; raises CliError (exit code 3) when nobody answers."""
    address = pilot_address(given)
    with grpc.insecure_channel(address) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=_CONNECT_S)
        except grpc.FutureTimeoutError:
            raise CliError(f"Pilot at {address} does not answer", Exit.UNREACHABLE) from None
        yield channel


class Rules:
    """The rule API over a connected channel."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._stub = config_pb2_grpc.ConfigServiceStub(channel)  # type: ignore[no-untyped-call]

    def apply(self, request: config_pb2.ApplyRequest) -> config_pb2.ApplyResponse:
        response: config_pb2.ApplyResponse = self._call(self._stub.Apply, request)
        return response

    def list(self, kind: str, namespace: str, name: str) -> Sequence[config_pb2.Object]:
        request = config_pb2.ListRequest(kind=kind, namespace=namespace, name=name)
        objects: Sequence[config_pb2.Object] = self._call(self._stub.List, request).objects
        return objects

    def delete(self, keys: Sequence[config_pb2.ObjectKey]) -> config_pb2.DeleteResponse:
        request = config_pb2.DeleteRequest(keys=keys)
        response: config_pb2.DeleteResponse = self._call(self._stub.Delete, request)
        return response

    def _call(self, method: Any, request: Any) -> Any:
        try:
            return method(request, timeout=_DEADLINE_S)
        except grpc.RpcError as error:
            raise refused(error) from error


def refused(error: grpc.RpcError) -> CliError:
    """A failed call as a message; the exit code says whether anybody answered at all."""
    code, details = error.code(), error.details()
    gone = code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    return CliError(f"Pilot: {details or code.name}", Exit.UNREACHABLE if gone else Exit.REFUSED)
