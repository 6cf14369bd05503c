"""Access log formats, each a log of its own, and the requests that are logged in all of them."""

from __future__ import annotations

from tests.differential.envoy.cases import ANY, Ask, ask
from tests.support.bootstrap import direct, route

ROUTES = [
    {"name": "here", **direct({"prefix": "/local"}, 200, "hello")},
    {"name": "moved", "match": {"prefix": "/moved"}, "redirect": {"path_redirect": "/"}},
    {"name": "rewritten", **route({"prefix": "/old"}, {"cluster": "origin", "prefix_rewrite": "/new"})},
    {"name": "dead", **route({"path": "/dead"}, "dead")},
    {"name": "none", **route({"path": "/none"}, "empty")},
    {
        "name": "again",
        **route({"prefix": "/status"}, {"cluster": "origin", "retry_policy": {"retry_on": "5xx"}}),
    },
    {"name": "late", **route({"path": "/slow"}, {"cluster": "origin", "timeout": "0.1s"})},
    route(ANY, "origin"),
]
ASKS: list[Ask] = [
    ask("/"),
    ask("/p?a=1&b=&c&a=2", ("user-agent", 'curl/8 "x" \\ \t é'), ("x-long", "0123456789")),
    ask("/local?x", ("referer", "r")),
    ask("/moved"),
    ask("/old/path?q=1", ("host-like", "x")),
    ask("/dead"),
    ask("/none"),
    ask("/status/503"),
    ask("/slow"),
    ask("/", ("x-envoy-original-path", "/forged")),
    ask("/", method="HEAD"),
    ask("/length", method="POST", body=b"x" * 1000),
    ask("/large"),
    ask("/", ("x-two", "a"), ("x-two", "b"), ("accept", "c")),
    ask("/", ("content-type", "application/grpc"), method="POST", body=b"12345"),
]
# So that the lines of one request can be found in every log.
STAMP = "%REQ(X-STAMP)%"
PLAIN = {
    "protocol": "%PROTOCOL% %UPSTREAM_PROTOCOL% %RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG%",
    "details": "%RESPONSE_CODE_DETAILS% %RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)%",
    "termination": "%CONNECTION_TERMINATION_DETAILS% %UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "bytes": "%BYTES_RECEIVED% %BYTES_SENT%",
    "headerbytes": "%REQUEST_HEADERS_BYTES% %RESPONSE_HEADERS_BYTES%",
    "wirereceived": "%DOWNSTREAM_WIRE_BYTES_RECEIVED% %UPSTREAM_WIRE_BYTES_RECEIVED%",
    "wiresent": "%DOWNSTREAM_WIRE_BYTES_SENT% %UPSTREAM_WIRE_BYTES_SENT%",
    "upstream": "%UPSTREAM_HOST% %UPSTREAM_REMOTE_ADDRESS% %UPSTREAM_REMOTE_PORT% %UPSTREAM_CLUSTER%",
    "upstreamlocal": "%UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% %UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "downstream": (
        "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT% "
        "%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%"
    ),
    "names": "%ROUTE_NAME% %REQUESTED_SERVER_NAME% %FILTER_CHAIN_NAME% %HOSTNAME%",
    "request": "%REQ(:METHOD)% %REQ(:PATH)% %REQ(:AUTHORITY)% %REQ(:SCHEME)% %REQ(X-NOT-THERE)%",
    "either": "%REQ(X-NOT-THERE?USER-AGENT)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %REQ(REFERER?X-LONG)%",
    "cut": "%REQ(X-LONG):4% %REQ(:PATH):3% %REQ(X-LONG?REFERER):20%",
    "response": "%RESP(CONTENT-TYPE)% %RESP(CONTENT-LENGTH)% %RESP(:STATUS)% %RESP(SERVER)% %RESP(X-ORIGIN)%",
    "twice": "%REQ(X-TWO)% %REQ(ACCEPT)%",
    "path": "%PATH% %PATH(NQ)% %PATH(WQ:ORIG)% %PATH(NQ:PATH)% %PATH(WQ:ORIG_OR_PATH)%",
    "query": "%QUERY_PARAM(a)% %QUERY_PARAM(b)% %QUERY_PARAM(c)% %QUERY_PARAM(d)%",
    "grpc": "%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS_NUMBER%",
    "body": "%LOCAL_REPLY_BODY%",
    "tls": "%DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_PEER_URI_SAN%",
    "percent": "100%% sure",
}
JSON = {
    "json": {
        "code": "%RESPONSE_CODE%",
        "sent": "%BYTES_SENT%",
        "flags": "%RESPONSE_FLAGS%",
        "agent": "%REQ(USER-AGENT)%",
        "none": "%REQ(X-NOT-THERE)%",
        "both": "%RESPONSE_CODE% of %PROTOCOL%",
        "route": "%ROUTE_NAME%",
        "host": "%UPSTREAM_HOST%",
        "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
        "fixed": "text",
        "inner": {"path": "%REQ(:PATH)%", "none": "%REQ(X-NOT-THERE)%"},
    }
}
