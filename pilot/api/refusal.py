"""Ends a call with an error that programs can read: a google.rpc.Status with an ErrorInfo in it."""

from __future__ import annotations

from typing import NoReturn

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

_DETAILS = "grpc-status-details-bin"
DOMAIN = "meshloom.pilot"


async def refuse(
    context: grpc.aio.ServicerContext[object, object],
    code: grpc.StatusCode,
    reason: str,
    message: str,
    **metadata: str,
) -> NoReturn:
    """`reason` is a constant in capitals that programs may compare; `metadata` are its particulars."""
    info = error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata)
    detail = any_pb2.Any()
    detail.Pack(info)
    status = status_pb2.Status(code=code.value[0], message=message, details=[detail])
    await context.abort(code, message, trailing_metadata=((_DETAILS, status.SerializeToString()),))
    raise AssertionError("abort raises")
