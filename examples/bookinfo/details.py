"""Bookinfo's `details`: facts about a book."""

from meshloom.examples.web import Request, Response, serve

FACTS = {
    "author": "William Shakespeare",
    "year": 1595,
    "type": "paperback",
    "pages": 200,
    "publisher": "PublisherA",
    "language": "English",
    "ISBN-10": "1234567890",
    "ISBN-13": "123-1234567890",
}


def answer(request: Request) -> Response:
    match request.path.split("/"):
        case ["", "details", number] if number.isdigit():
            return Response({"id": int(number), **FACTS})
        case ["", "health"]:
            return Response({"status": "Details is healthy"})
    return Response({"error": "please provide numeric product id"}, status=400)


if __name__ == "__main__":
    serve(answer)
