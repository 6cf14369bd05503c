"""Bookinfo's `productpage`: the page, the login, and the API that shows what the other services said."""

import html
import json
from http.cookies import SimpleCookie

from meshloom.examples.web import CallFailed, Request, Response, call, serve

PRODUCT = {
    "id": 0,
    "title": "The Comedy of Errors",
    "descriptionHtml": "A play by William Shakespeare.",
}
# As in Istio's sample: three seconds, and one more try for the reviews.
TIMEOUT_S = 3.0
REVIEW_ATTEMPTS = 2


def answer(request: Request) -> Response:
    match request.path.strip("/").split("/"):
        case ["productpage"]:
            return _page(_signed_in(request))
        case ["login"]:
            user = _form(request).get("username", "")
            return Response(
                "", 302, (("location", "/productpage"), ("set-cookie", f"session={user}; Path=/"))
            )
        case ["logout"]:
            return Response(
                "", 302, (("location", "/productpage"), ("set-cookie", "session=; Max-Age=0; Path=/"))
            )
        case ["api", "v1", "products"]:
            return Response([PRODUCT])
        case ["api", "v1", "products", number]:
            return _api(_details(number, _signed_in(request)))
        case ["api", "v1", "products", number, "reviews"]:
            return _api(_reviews(number, _signed_in(request)))
        case ["api", "v1", "products", number, "ratings"]:
            return _api(_ask("ratings:9080", f"/ratings/{number}", _signed_in(request), "ratings"))
        case ["health"]:
            return Response("Product page is healthy")
    return Response({"error": "not found"}, status=404)


def _signed_in(request: Request) -> Request:
    """The request as it goes on: the user of the session becomes the `end-user` header."""
    session = SimpleCookie(request.headers.get("cookie", "")).get("session")
    if session is None or not session.value:
        return request
    headers = {**request.headers, "end-user": session.value}
    return Request(request.method, request.path, request.query, headers, request.body)


def _form(request: Request) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in request.body.decode("ascii", "replace").split("&"))
    return {name: value for name, _, value in pairs}


def _details(number: str, request: Request) -> tuple[int, object]:
    return _ask("details:9080", f"/details/{number}", request, "product details")


def _reviews(number: str, request: Request) -> tuple[int, object]:
    for _ in range(REVIEW_ATTEMPTS):
        status, content = _ask("reviews:9080", f"/reviews/{number}", request, "product reviews")
        if status == 200:
            break
    return status, content


def _ask(service: str, path: str, request: Request, what: str) -> tuple[int, object]:
    try:
        return 200, call(service, path, request, timeout=TIMEOUT_S)
    except CallFailed as error:
        status = error.status if 500 <= error.status < 600 else 500
        return status, {"error": f"Sorry, {what} are currently unavailable for this book."}


def _api(answered: tuple[int, object]) -> Response:
    status, content = answered
    return Response(content, status)


def _page(request: Request) -> Response:
    parts = [_details("0", request)[1], _reviews("0", request)[1]]
    shown = "".join(f"<pre>{html.escape(json.dumps(part, indent=1))}</pre>" for part in parts)
    user = html.escape(request.headers.get("end-user", ""))
    return Response(
        f"<html><head><title>Simple Bookstore App</title></head><body><p>{user}</p>{shown}</body></html>"
    )


if __name__ == "__main__":
    serve(answer)
