"""Rules between fields: every rule has a document that breaks it and the words that say so."""

from __future__ import annotations

from typing import Any

import pytest

from tests.pilot.ingest.documents import faults

TO_A = [{"destination": {"host": "a"}}]
ROUTE = {"route": TO_A}


def http(**fields: Any) -> dict[str, Any]:
    return {"hosts": ["a"], "http": [{**ROUTE, **fields}]}


def only(**fields: Any) -> dict[str, Any]:
    return {"hosts": ["a"], "http": [fields]}


def matching(**match: Any) -> dict[str, Any]:
    return http(match=[match])


VIRTUAL_SERVICES: list[tuple[dict[str, Any], str]] = [
    ({"http": []}, "spec.hosts: virtual service must have at least one host"),
    ({"hosts": ["a"]}, "http, tcp or tls must be provided"),
    (
        {"hosts": ["*"], "http": [ROUTE]},
        "wildcard host * is not allowed for virtual services bound to the mesh",
    ),
    ({"hosts": ["a", "a"], "http": [ROUTE]}, 'spec.hosts: Duplicate value: "a"'),
    ({"hosts": ["a..b"], "http": [ROUTE]}, 'spec.hosts[0]: Invalid value: "a..b": domain name is invalid'),
    ({"http": [ROUTE], "gateways": ["g"]}, "spec.gateways: delegate virtual service must have no gateways"),
    ({"hosts": ["a"], "gateways": ["a/b/c"], "http": [ROUTE]}, "spec.gateways[0]"),
    (only(), "spec.http[0]: HTTP route, redirect or direct_response is required"),
    (http(redirect={"uri": "/"}), "HTTP route cannot contain both route and redirect"),
    (http(directResponse={"status": 200}), "cannot contain both route and directResponse"),
    (only(redirect={"uri": "/"}, rewrite={"uri": "/"}), "cannot contain both rewrite and redirect"),
    (
        only(redirect={"uri": "/"}, fault={"delay": {"fixedDelay": "1s"}}),
        "cannot contain both fault and redirect",
    ),
    (only(redirect={}), "spec.http[0].redirect: redirect must have non-empty values"),
    (
        only(redirect={"uri": "/", "redirectCode": 200}),
        "redirect code must be one of 301, 302, 303, 307, 308",
    ),
    (only(redirect={"uri": "/", "prefixRewrite": "/"}), "only one of uri and prefixRewrite can be set"),
    (
        only(redirect={"port": 1, "derivePort": "FROM_REQUEST_PORT"}),
        "only one of port and derivePort can be set",
    ),
    (
        only(match=[{"uri": {"exact": "/"}}], redirect={"prefixRewrite": "/"}),
        "prefixRewrite needs a uri prefix in each match",
    ),
    (only(directResponse={"status": 99}), "HTTP status must be in range 200..599"),
    (
        only(directResponse={"status": 200, "body": {"string": "", "bytes": ""}}),
        "only one of string and bytes",
    ),
    (only(directResponse={"status": 200, "body": {"bytes": "?"}}), "must be base64"),
    (http(rewrite={}), "rewrite must specify URI, UriRegexRewrite, or authority"),
    (http(rewrite={"uriRegexRewrite": {"match": "a"}}), "UriRegexRewrite requires both Rewrite and Match"),
    (matching(uri={"exact": "/", "prefix": "/"}), "only one of exact, prefix and regex can be set"),
    (matching(uri={"regex": r"(a)\1"}), "back-references are not supported in RE2"),
    (matching(uri={"regex": "(?=a)b"}), "look-around is not supported in RE2"),
    (matching(uri={"regex": "a++"}), "possessive quantifiers are not supported"),
    (matching(uri={"regex": "("}), "invalid regex"),
    (matching(uri={"regex": "*"}), "invalid regex"),
    (matching(headers={"": {}}), "header name cannot be empty"),
    (matching(headers={"a b": {}}), "header name is not a valid HTTP token"),
    (http(headers={"request": {"remove": ["a b"]}}), "spec.http[0].headers.request.remove[0]"),
    (http(retries={"attempts": -1}), "attempts cannot be negative"),
    (http(retries={"attempts": 0, "retryOn": "5xx"}), "configured when attempts are set to 0 (disabled)"),
    (http(retries={"attempts": 1, "retryOn": "5xxx"}), "not a valid retryOn policy"),
    (http(retries={"perTryTimeout": "0s"}), "must be a valid duration greater than 1ms"),
    (http(timeout="1 second"), "is not a duration"),
    (http(fault={}), "HTTP fault injection must have an abort and/or a delay"),
    (
        http(fault={"abort": {"percentage": {"value": 1}}}),
        "exactly one of httpStatus, grpcStatus and http2Error",
    ),
    (http(fault={"abort": {"httpStatus": 700}}), "HTTP status must be in range 200..599"),
    (http(fault={"abort": {"grpcStatus": "UNAVAILIBLE"}}), "gRPC status is not supported"),
    (http(fault={"delay": {"fixedDelay": "1s", "percentage": {"value": 101}}}), "not in range 0..100"),
    (http(mirror={"host": "b"}, mirrors=[{"destination": {"host": "c"}}]), "both mirror and mirrors"),
    (http(mirror={"host": "b"}, mirrorPercent=101), "mirror percent must have a max value of 100"),
    (only(route=[*TO_A, *TO_A]), "total destination weight = 0"),
    (only(route=[{**TO_A[0], "weight": -1}]), "weight cannot be negative"),
    (only(route=[{"destination": {"host": "*"}}]), "invalid destination host *"),
    (
        {"hosts": ["a"], "tls": [{"match": [{"sniHosts": ["b"]}], "route": TO_A}]},
        "is not a compatible subset",
    ),
    ({"hosts": ["a"], "tls": [{"match": [], "route": TO_A}]}, "must have at least one match condition"),
    (
        {"hosts": ["a"], "tls": [{"match": [{"sniHosts": ["a"]}]}]},
        "TLS route must have at least one destination",
    ),
    ({"hosts": ["a"], "tcp": [{}]}, "TCP route must have at least one destination"),
    (
        {"hosts": ["a"], "tcp": [{"match": [{"destinationSubnets": ["x"]}], "route": TO_A}]},
        "address or a CIDR",
    ),
    ({"hosts": ["a"], "http": [ROUTE], "exportTo": ["*", "b"]}, "'*' and '~' must stand alone"),
]


@pytest.mark.parametrize(("spec", "words"), VIRTUAL_SERVICES)
def test_virtual_service_rules(spec: dict[str, Any], words: str) -> None:
    assert any(words in fault for fault in faults("VirtualService", spec)), faults("VirtualService", spec)


ACCEPTED_VIRTUAL_SERVICES: list[dict[str, Any]] = [
    http(),
    {"http": [ROUTE]},
    matching(headers={"x": {"regex": "*"}}, queryParams={"q": {}}),
    matching(headers={"@request.auth.claims[foo.com/name]": {"exact": "x"}}),
    matching(uri={"regex": r"(?i)/[[:alpha:]]+/\d{1,3}\z"}),
    only(match=[{"uri": {"prefix": "/a"}}], redirect={"prefixRewrite": "/b"}),
    only(route=[{**TO_A[0], "weight": 0}, {**TO_A[0], "weight": 3}]),
    http(retries={"attempts": 3, "retryOn": "5xx, connect-failure,503"}),
    {"hosts": ["*"], "gateways": ["g"], "http": [ROUTE]},
    {"hosts": ["10.0.0.1"], "tcp": [{"route": TO_A}]},
    {"hosts": ["*.a.com"], "tls": [{"match": [{"sniHosts": ["x.a.com", "*.y.a.com"]}], "route": TO_A}]},
]


@pytest.mark.parametrize("spec", ACCEPTED_VIRTUAL_SERVICES)
def test_virtual_services_that_are_right(spec: dict[str, Any]) -> None:
    assert faults("VirtualService", spec) == []


HTTP80 = {"number": 80, "name": "http", "protocol": "HTTP"}
TLS443 = {"number": 443, "name": "https", "protocol": "HTTPS"}


def server(port: dict[str, Any] = HTTP80, **fields: Any) -> dict[str, Any]:
    return {"servers": [{"port": port, "hosts": ["*"], **fields}]}


GATEWAYS: list[tuple[dict[str, Any], str]] = [
    ({"servers": []}, "gateway must have at least one server"),
    (server(hosts=[]), "server config must contain at least one host"),
    (server(hosts=["a/b/c"]), "must be dnsName or namespace/dnsName"),
    (server(hosts=["/b"]), "namespace before / cannot be empty"),
    (server({**HTTP80, "protocol": "HTTPX"}), 'Unsupported value: "HTTPX"'),
    (server(TLS443), "server must have TLS settings for HTTPS/TLS protocols"),
    (
        server(tls={"mode": "SIMPLE", "credentialName": "c"}),
        "cannot have TLS settings for plain text HTTP ports",
    ),
    (server(TLS443, tls={"mode": "SIMPLE"}), "SIMPLE TLS requires a server certificate"),
    (server(TLS443, tls={"mode": "MUTUAL", "serverCertificate": "c", "privateKey": "k"}), "client CA bundle"),
    (server(TLS443, tls={"mode": "ISTIO_MUTUAL", "credentialName": "c"}), "uses the mesh's own certificates"),
    (server(TLS443, tls={"mode": "SIMPLE", "credentialName": "c", "credentialNames": ["d"]}), "only one of"),
    (server(TLS443, tls={"mode": "SIMPLE", "credentialNames": ["a", "b", "c"]}), "must have at most 2 items"),
    (
        server(
            TLS443,
            tls={"credentialName": "c", "minProtocolVersion": "TLSV1_3", "maxProtocolVersion": "TLSV1_2"},
        ),
        "minimum TLS version is higher than the maximum",
    ),
    ({"servers": [*server()["servers"], *server()["servers"]]}, "duplicate name http"),
]


@pytest.mark.parametrize(("spec", "words"), GATEWAYS)
def test_gateway_rules(spec: dict[str, Any], words: str) -> None:
    assert any(words in fault for fault in faults("Gateway", spec)), faults("Gateway", spec)


@pytest.mark.parametrize(
    "spec",
    [
        server(),
        server(tls={"httpsRedirect": True}),
        server(TLS443, tls={"mode": "SIMPLE", "credentialName": "c"}),
        server({**TLS443, "protocol": "TLS"}, tls={}),
        server(hosts=["./a.com", "*/b.com", "ns/*"]),
    ],
)
def test_gateways_that_are_right(spec: dict[str, Any]) -> None:
    assert faults("Gateway", spec) == []


def policy(**fields: Any) -> dict[str, Any]:
    return {"host": "a", "trafficPolicy": fields}


def balancer(**fields: Any) -> dict[str, Any]:
    return policy(loadBalancer=fields)


DESTINATION_RULES: list[tuple[dict[str, Any], str]] = [
    ({"host": ""}, "domain name cannot be empty"),
    (policy(), "traffic policy must have at least one field"),
    (policy(connectionPool={}), "connection pool must have at least one field"),
    (policy(connectionPool={"tcp": {"maxConnections": -1}}), "must be non-negative"),
    (policy(outlierDetection={"maxEjectionPercent": 101}), "must be in range 0..100"),
    (policy(outlierDetection={"outlierDetectionHttpErrorCodes": [99]}), "greater than or equal to 100"),
    (policy(tls={"mode": "MUTUAL"}), "client certificate required for mutual tls"),
    (policy(tls={"mode": "ISTIO_MUTUAL", "privateKey": "k"}), "cannot be set for ISTIO_MUTUAL"),
    (policy(tls={"mode": "SIMPLE", "credentialName": "c", "caCertificates": "f"}), "cannot both be set"),
    (policy(portLevelSettings=[{"tls": {"mode": "DISABLE"}}]), "portLevelSettings must have a port"),
    (
        balancer(simple="RANDOM", consistentHash={"useSourceIp": True}),
        "only one of simple and consistentHash",
    ),
    (balancer(consistentHash={}), "exactly one hash key is required, found 0"),
    (balancer(consistentHash={"useSourceIp": True, "httpHeaderName": "x"}), "required, found 2"),
    (balancer(consistentHash={"useSourceIp": True, "maglev": {"tableSize": 4}}), "must be a prime"),
    (
        balancer(localityLbSetting={"distribute": [{"from": "a", "to": {"b": 99}}]}),
        "total locality weight 99",
    ),
    (balancer(localityLbSetting={"failover": [{"from": "a", "to": "a"}]}), "must specify different regions"),
    ({"host": "a", "subsets": [{"name": "x"}, {"name": "x"}]}, "subset names must be unique"),
    ({"host": "a", "workloadSelector": {"matchLabels": {"x": "*"}}}, "wildcard not allowed in label value"),
]


@pytest.mark.parametrize(("spec", "words"), DESTINATION_RULES)
def test_destination_rule_rules(spec: dict[str, Any], words: str) -> None:
    assert any(words in fault for fault in faults("DestinationRule", spec)), faults("DestinationRule", spec)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"ports": [{"port": 80}, {"port": 81}]}, "spec.ports[0].name: Required value"),
        ({"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "a"}]}, 'Duplicate value: "a"'),
        ({"type": "ExternalName"}, "spec.externalName: Required value"),
        ({"port": [{"port": 80}]}, 'spec.port: unknown field "port"'),
    ],
)
def test_service_rules(spec: dict[str, Any], words: str) -> None:
    assert any(words in fault for fault in faults("Service", spec)), faults("Service", spec)


def test_a_deployment_must_select_its_own_template() -> None:
    template = {"metadata": {"labels": {"app": "b"}}, "spec": {"containers": [{"name": "c"}]}}
    spec = {"selector": {"matchLabels": {"app": "a"}}, "template": template}
    assert faults("Deployment", spec) == [
        "spec.template.metadata.labels: `selector` does not match template `labels`"
    ]
