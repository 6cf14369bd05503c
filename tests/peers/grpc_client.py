"""Run as a program: a proxyless gRPC client. For each number on standard input it makes that many calls to
the target in argv[1] and prints, as JSON, how many each server answered (or which status codes it got)."""

from __future__ import annotations

import json
import sys
from collections import Counter

import grpc

CALL = "/test.Echo/Name"


def main() -> None:
    with grpc.insecure_channel(sys.argv[1]) as channel:
        call = channel.unary_unary(CALL, request_serializer=None, response_deserializer=None)
        for line in sys.stdin:
            print(json.dumps(Counter(_once(call) for _ in range(int(line)))), flush=True)


def _once(call: grpc.UnaryUnaryMultiCallable[bytes, bytes]) -> str:
    try:
        return bytes(call(b"", timeout=10, wait_for_ready=True)).decode()
    except grpc.RpcError as error:
        return str(error.code().name)


if __name__ == "__main__":
    main()
