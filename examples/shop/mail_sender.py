"""The end of the line: pretends to send a mail."""

import itertools

from meshloom.examples.shop.service import me
from meshloom.examples.web import Request, Response, serve

_sent = itertools.count(1)


def answer(request: Request) -> Response:
    return Response({**me("mail-sender", request), "number": next(_sent)})


if __name__ == "__main__":
    serve(answer)
