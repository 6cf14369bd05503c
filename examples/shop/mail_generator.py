"""Writes mails, and hands them to `mail-sender`."""

from meshloom.examples.shop.service import me
from meshloom.examples.web import CallFailed, Request, Response, call, serve


def answer(request: Request) -> Response:
    template = request.query.get("template", ["plain"])[0]
    try:
        sent = call("mail-sender", "/send", request)
    except CallFailed as error:
        return Response({**me("mail-generator", request), "error": str(error)}, status=502)
    return Response({**me("mail-generator", request), "template": template, "sent": sent})


if __name__ == "__main__":
    serve(answer)
