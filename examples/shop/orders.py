"""Takes orders, and has a confirmation mail written for each."""

from meshloom.examples.shop.service import me
from meshloom.examples.web import CallFailed, Request, Response, call, serve


def answer(request: Request) -> Response:
    try:
        mail = call("mail-generator", "/mail?template=confirmation", request)
    except CallFailed as error:
        return Response({**me("orders", request), "error": str(error)}, status=502)
    return Response({**me("orders", request), "items": ["a book", "a lamp"], "mail": mail})


if __name__ == "__main__":
    serve(answer)
