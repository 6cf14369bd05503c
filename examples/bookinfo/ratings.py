"""Bookinfo's `ratings`: two stars of opinion about a book."""

from meshloom.examples.web import Request, Response, serve


def answer(request: Request) -> Response:
    match request.path.split("/"):
        case ["", "ratings", number] if number.isdigit():
            return Response({"id": int(number), "ratings": {"Reviewer1": 5, "Reviewer2": 4}})
        case ["", "health"]:
            return Response({"status": "Ratings is healthy"})
    return Response({"error": "please provide numeric product ID"}, status=400)


if __name__ == "__main__":
    serve(answer)
