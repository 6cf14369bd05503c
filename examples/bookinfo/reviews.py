"""Bookinfo's `reviews`: v1 without stars, v2 with black ones, v3 with red ones, asked of `ratings`."""

import os

from meshloom.examples.web import CallFailed, Request, Response, call, serve

VERSION = os.environ.get("VERSION", "v1")
STAR_COLOR = {"v2": "black", "v3": "red"}.get(VERSION)
# As in Istio's sample: longer than productpage waits for us, which the delay rule is there to show.
RATINGS_TIMEOUT_S = 10.0
TEXTS = {
    "Reviewer1": "An extremely entertaining play by Shakespeare. The slapstick humour is refreshing!",
    "Reviewer2": "Absolutely fun and entertaining. The play lacks thematic depth "
    "when compared to other plays by Shakespeare.",
}


def answer(request: Request) -> Response:
    match request.path.split("/"):
        case ["", "reviews", number] if number.isdigit():
            return Response(_reviews(number, request))
        case ["", "health"]:
            return Response({"status": "Reviews is healthy"})
    return Response({"error": "not found"}, status=404)


def _reviews(number: str, request: Request) -> dict[str, object]:
    ratings = _ratings(number, request) if STAR_COLOR else {}
    reviews = [
        {"reviewer": who, "text": text, **({"rating": _rating(ratings, who)} if STAR_COLOR else {})}
        for who, text in TEXTS.items()
    ]
    copy = os.environ.get("HOSTNAME", "")
    return {"id": number, "podname": copy, "clustername": "null", "reviews": reviews}


def _rating(ratings: dict[str, int] | None, who: str) -> dict[str, object]:
    if ratings is None:
        return {"error": "Ratings service is currently unavailable"}
    return {"stars": ratings.get(who, -1), "color": STAR_COLOR}


def _ratings(number: str, request: Request) -> dict[str, int] | None:
    try:
        answer = call("ratings:9080", f"/ratings/{number}", request, timeout=RATINGS_TIMEOUT_S)
    except CallFailed:
        return None
    return dict(answer["ratings"]) if isinstance(answer, dict) else None


if __name__ == "__main__":
    serve(answer)
