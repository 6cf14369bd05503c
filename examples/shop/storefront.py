"""The shop's front page: asks `orders` what the customer has bought."""

from meshloom.examples.shop.service import me
from meshloom.examples.web import CallFailed, Request, Response, call, serve


def answer(request: Request) -> Response:
    if request.path == "/version":
        return Response(me("storefront", request))  # a page that needs nobody else
    try:
        return Response({**me("storefront", request), "orders": call("orders", "/orders", request)})
    except CallFailed as error:
        return Response({**me("storefront", request), "error": str(error)}, status=502)


if __name__ == "__main__":
    serve(answer)
