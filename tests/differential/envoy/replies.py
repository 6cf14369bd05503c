"""Settings of local replies, a listener each."""

from __future__ import annotations

from typing import Any

from tests.differential.envoy.cases import ask, asks
from tests.differential.envoy.managers import GRPC, Managed
from tests.support.bootstrap import direct, route

Json = dict[str, Any]
ROUTES = [
    direct({"path": "/hello"}, 200, "hello"),
    direct({"path": "/empty"}, 204),
    direct({"path": "/teapot"}, 418, "short and stout"),
    {"match": {"path": "/elsewhere"}, "redirect": {"path_redirect": "/there"}},
    route({"path": "/none"}, "empty"),
    route({"path": "/dead"}, "dead"),
    route({"prefix": "/status/"}, "origin"),
]
ASKS = [
    *asks("/hello", "/teapot", "/elsewhere", "/none", "/dead", "/status/404", "/nowhere?a=%22b%22"),
    ask("/teapot", ("x-who", "me")),
    ask("/hello", method="HEAD"),
    ask("/none", *GRPC, method="POST", body=b"\0\0\0\0\0"),
    ask("/teapot", *GRPC, method="POST", body=b"\0\0\0\0\0"),
    ask("/nowhere", *GRPC, method="POST", body=b"\0\0\0\0\0"),
]


def status(operator: str, code: int) -> Json:
    value = {"default_value": code, "runtime_key": "unset"}
    return {"status_code_filter": {"comparison": {"op": operator, "value": value}}}


def inline(text: str) -> Json:
    return {"text_format_source": {"inline_string": text}}


TELLING = (
    "%LOCAL_REPLY_BODY%|%RESPONSE_CODE%|%RESPONSE_FLAGS%|%RESPONSE_CODE_DETAILS%|%REQ(:PATH)%|%REQ(X-WHO)%"
)
JSON = {
    "json_format": {"said": "%LOCAL_REPLY_BODY%", "code": "%RESPONSE_CODE%", "in": {"path": "%REQ(:PATH)%"}}
}
HEADERS = [
    {
        "header": {"key": "x-mapped", "value": "%RESPONSE_CODE%"},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    },
    {"header": {"key": "x-mapped", "value": "again"}},
]
FORMS: dict[str, Json] = {
    "textform": {"body_format": inline(TELLING)},
    "oldtextform": {"body_format": {"text_format": TELLING + "\n"}},
    "jsonform": {"body_format": JSON},
    "typedform": {
        "body_format": {**inline("<p>%LOCAL_REPLY_BODY%</p>"), "content_type": "text/html; charset=UTF-8"}
    },
    "omittingform": {"body_format": {**inline(TELLING), "omit_empty_values": True}},
    "emptyform": {"body_format": inline("%REQ(X-ABSENT)%"), "mappers": []},
    "nothing": {},
}
MAPPERS: dict[str, Json] = {
    "otherstatus": {"mappers": [{"filter": status("EQ", 404), "status_code": 410}]},
    "otherbody": {"mappers": [{"filter": status("GE", 400), "body": {"inline_string": "sorry"}}]},
    "otherheaders": {"mappers": [{"filter": status("GE", 200), "headers_to_add": HEADERS}]},
    "firstcounts": {
        "mappers": [
            {
                "filter": status("EQ", 418),
                "body": {"inline_string": "first"},
                "body_format_override": inline("1:" + TELLING),
            },
            {
                "filter": status("GE", 400),
                "status_code": 500,
                "body_format_override": JSON,
                "headers_to_add": HEADERS,
            },
        ],
        "body_format": inline("all:" + TELLING),
    },
    "byflags": {
        "mappers": [
            {"filter": {"response_flag_filter": {"flags": ["UH"]}}, "status_code": 599},
            {"filter": {"response_flag_filter": {"flags": ["NR"]}}, "body": {"inline_string": "no route"}},
        ]
    },
    "byheader": {
        "mappers": [
            {
                "filter": {"header_filter": {"header": {"name": "x-who", "string_match": {"exact": "me"}}}},
                "status_code": 200,
            }
        ]
    },
    "bothfilters": {
        "mappers": [
            {
                "filter": {"and_filter": {"filters": [status("GE", 400), status("LE", 420)]}},
                "status_code": 444,
            }
        ]
    },
    "typedheader": {
        "mappers": [
            {
                "filter": status("GE", 400),
                "headers_to_add": [{"header": {"key": "content-type", "value": "text/x-own"}}],
                "body": {"inline_string": "own"},
            }
        ]
    },
}

REPLIES = [
    Managed(name, {"local_reply_config": config}, ASKS, ROUTES)
    for name, config in {**FORMS, **MAPPERS}.items()
]
