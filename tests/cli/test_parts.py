"""The parts of the command line that decide or read, without a mesh."""

import json
from datetime import timedelta

import pytest
from meshloom.api.registry.v1 import registry_pb2
from meshloom.auth.ca.keys import KeyType, key_pem
from meshloom.cli import dump
from meshloom.cli.certificates import secret_rows
from meshloom.cli.demo.prometheus import edges, rows
from meshloom.cli.demo.report import Canary, Failure, Metrics, Report, Rollout, Scale
from meshloom.cli.errors import CliError
from meshloom.cli.kinds import kind_of
from meshloom.cli.local.addresses import claim_pod_ip
from meshloom.cli.local.bootstrap import NodeSpec, Upstreams, bootstrap
from meshloom.cli.local.registration import environment
from meshloom.runtime.duration import parse_duration


def test_services_become_kubernetes_variables_and_a_proxy() -> None:
    at = registry_pb2.ServiceAddress(
        service="mail-sender", port_name="http", service_port=80, address="127.1.2.3", port=20004
    )
    env = environment(registry_pb2.RegistrationResponse(services=[at], http_proxy="127.1.2.3:15002"))
    assert env["MAIL_SENDER_SERVICE_HOST"] == "127.1.2.3"
    assert env["MAIL_SENDER_SERVICE_PORT"] == env["MAIL_SENDER_SERVICE_PORT_HTTP"] == "20004"
    assert env["MAIL_SENDER_PORT"] == env["MAIL_SENDER_PORT_80_TCP"] == "tcp://127.1.2.3:20004"
    assert env["http_proxy"] == "http://127.1.2.3:15002"


def test_the_first_port_of_a_service_is_its_main_one() -> None:
    ports = [
        registry_pb2.ServiceAddress(service="a", service_port=n, address="127.1.2.3", port=20000 + n)
        for n in (1, 2)
    ]
    env = environment(registry_pb2.RegistrationResponse(services=ports))
    assert env["A_SERVICE_PORT"] == "20001"
    assert env["A_PORT_2_TCP_PORT"] == "20002"
    assert "http_proxy" not in env


def test_pod_addresses_are_not_given_twice() -> None:
    taken = [claim_pod_ip() for _ in range(50)]
    assert len({pod.ip for pod in taken}) == 50
    for pod in taken:
        pod.release()


def test_a_bootstrap_says_who_the_proxy_is_and_holds_no_secret() -> None:
    node = NodeSpec(
        "sidecar", "127.1.2.3", "orders-1", "shop", "orders", {"app": "orders"}, "orders", {8080: 4000}
    )
    text = bootstrap(node, Upstreams("127.0.0.1:15010", None, "127.0.0.1:9091"))
    found = json.loads(text)["node"]
    assert found["id"] == "sidecar~127.1.2.3~orders-1.shop~shop.svc.cluster.local"
    assert found["cluster"] == "orders.shop"
    assert found["metadata"]["MESHLOOM_APP_PORTS"] == {"8080": "127.0.0.1:4000"}
    assert "PRIVATE" not in text
    assert "sds-grpc" not in text


@pytest.mark.parametrize(
    ("text", "seconds"), [("24h", 86400), ("1h30m", 5400), ("1.5s", 1.5), ("200ms", 0.2), ("10m0s", 600)]
)
def test_durations_are_read_as_go_writes_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "24", "h", "-1h", "1h 30m", "1d", "1h30"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="24h"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["vs", "virtualservice", "VirtualServices", "VS"])
def test_kinds_are_known_by_many_names(text: str) -> None:
    assert kind_of(text) == "VirtualService"


def test_policies_are_plural_too() -> None:
    assert kind_of("authorizationpolicies") == "AuthorizationPolicy"
    with pytest.raises(CliError):
        kind_of("cheese")


METRICS = """# TYPE istio_requests_total counter
istio_requests_total{reporter="source",source_workload="a",destination_service_name="b",destination_version="1",response_code="200"} 90
istio_requests_total{reporter="source",source_workload="a",destination_service_name="b",destination_version="1",response_code="503"} 10
istio_requests_total{reporter="destination",source_workload="a",destination_service_name="b",destination_version="1",response_code="200"} 90
# TYPE istio_request_duration_milliseconds histogram
istio_request_duration_milliseconds_bucket{reporter="source",source_workload="a",destination_service_name="b",destination_version="1",le="1.0"} 50
istio_request_duration_milliseconds_bucket{reporter="source",source_workload="a",destination_service_name="b",destination_version="1",le="5.0"} 100
istio_request_duration_milliseconds_bucket{reporter="source",source_workload="a",destination_service_name="b",destination_version="1",le="+Inf"} 100
"""  # noqa: E501


def test_an_edge_counts_what_the_source_saw_once() -> None:
    assert rows(edges(METRICS)) == [
        {
            "source": "a",
            "destination": "b",
            "version": "1",
            "requests": 100,
            "error_rate": 0.1,
            "p50_ms": 1.0,
            "p99_ms": 4.92,
        }
    ]


def kept() -> Report:
    return Report(
        canary=Canary({"1.1": 10}, {"1.0": 10}),
        scale=Scale(1.0, {"a": 10, "b": 11}, ["b"]),
        failure=Failure("a", 100, 0, 0.1),
        rollout=Rollout(100, 0, {"0": 0.0, "50": 48.0, "100": 100.0}, 0.2, 10),
        metrics=Metrics(100, 100),
    )


def test_a_report_names_each_broken_promise() -> None:
    report = kept()
    report.identity.plaintext_refused = True
    assert report.broken() == []
    report.canary.chrome = {"1.0": 9, "1.1": 1}
    report.scale.shares = {"a": 21}
    report.failure.lost = 1
    report.rollout.shares["50"] = 80.0
    report.identity.plaintext_refused = False
    report.metrics.requests_total = 99
    steps = [sentence.split(":")[0] for sentence in report.broken()]
    assert steps == ["canary", "scale", "failure", "rollout", "identity", "metrics"]


def test_listeners_routes_clusters_and_endpoints_become_rows() -> None:
    rds = {"typed_config": {"rds": {"route_config_name": "http.80"}}}
    listener = {
        "name": "in",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 80}},
        "filter_chains": [{"filter_chain_match": {"application_protocols": ["istio"]}, "filters": [rds]}],
    }
    assert dump.listener_rows([listener])[1] == [["127.0.0.1", 80, "ALPN: istio", "Route: http.80", "in"]]
    cluster = {"name": "outbound|80|v1|a.b.svc.cluster.local", "type": "EDS"}
    assert dump.cluster_rows([cluster])[1] == [["a.b.svc.cluster.local", "80", "v1", "outbound", "EDS"]]
    weighted = {"weighted_clusters": {"clusters": [{"name": "a", "weight": 80}, {"name": "b", "weight": 20}]}}
    route = {"match": {"prefix": "/", "headers": [{"name": "end-user"}]}, "route": weighted}
    table = {"name": "80", "virtual_hosts": [{"domains": ["*"], "routes": [route]}]}
    assert dump.route_rows([table])[1] == [["80", "*", "prefix / if end-user", "a 80, b 20"]]
    address = {"socket_address": {"address": "127.1.1.1", "port_value": 8080}}
    endpoint = {"endpoint": {"address": address}, "health_status": "HEALTHY", "load_balancing_weight": 3}
    assignment = {"cluster_name": "c", "endpoints": [{"lb_endpoints": [endpoint]}]}
    assert dump.endpoint_rows([assignment])[1] == [["127.1.1.1:8080", "HEALTHY", 3, "c"]]


def test_only_certificates_of_secrets_are_shown() -> None:
    key = key_pem(KeyType.P256.generate()).decode()
    secret = {"name": "default", "tls_certificate": {"private_key": {"inline_string": key}}}
    assert secret_rows([secret])[1] == []
