"""Faults of a bootstrap: all of them at once, each with file, line, path and what would be right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from meshloom.meshproxy.bootstrap.load import InvalidBootstrap, load
from meshloom.meshproxy.options import Options
from meshloom.meshproxy.resources.source import Ads, EnvoyGrpc, Grpc

from tests.support.bootstrap import cluster

HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"

# One line each, with a place for what is odd.
DNS = '{"typed_dns_resolver_config": {"typed_config": {"@type": "type.googleapis.com/%s"}}}'
ADS = '{"dynamic_resources": {"ads_config": {"api_type": %s}}}'
CLUSTER = '{"static_resources": {"clusters": [%s]}}'
SECRET = '{"static_resources": {"secrets": [{"generic_secret": {"secret": {"filename": "%s"}}}]}}'


def faults(folder: Path, text: str, name: str = "b.yaml") -> list[str]:
    path = folder / name
    path.write_text(text)
    with pytest.raises(InvalidBootstrap) as caught:
        load(Options(config_path=str(path)))
    return [line.removeprefix(f"{folder}/") for line in caught.value.lines]


def test_every_fault_is_named_with_its_line(tmp_path: Path) -> None:
    text = f"""\
static_resources:
  listeners:
  - nam: web
    address: {{socket_address: {{address: 127.0.0.1, portValue: http}}}}
    filter_chains:
    - filters:
      - typed_config:
          "@type": {HCM}
          codec_type: HTTP11
          routeConfig: {{}}
          rds: {{}}
  clusters:
  - connect_timeout: 5
    load_assignment: []
"""
    assert faults(tmp_path, text) == [
        "b.yaml:3: static_resources.listeners[0].nam: Listener has no field 'nam', did you mean name?",
        "b.yaml:4: static_resources.listeners[0].address.socket_address.portValue: want a whole number, "
        "found 'http' (invalid literal for int() with base 10: 'http')",
        "b.yaml:7: static_resources.listeners[0].filter_chains[0].filters[0].typed_config: "
        "only one of routeConfig and rds may be given",
        "b.yaml:9: static_resources.listeners[0].filter_chains[0].filters[0].typed_config.codec_type: "
        "'HTTP11' is none of AUTO, HTTP1, HTTP2, HTTP3; did you mean HTTP1?",
        'b.yaml:13: static_resources.clusters[0].connect_timeout: 5 is no Duration (for example "5s" or '
        '"0.25s"): Duration JSON value not a string: 5',
        "b.yaml:14: static_resources.clusters[0].load_assignment: "
        "want an object (ClusterLoadAssignment), found a list",
    ]


def test_a_field_that_would_be_ignored_is_refused(tmp_path: Path) -> None:
    text = "node: {id: a}\nhds_config: {}\nadmin:\n  allow_paths: [{exact: /ready}]\n"

    assert faults(tmp_path, text) == [
        "b.yaml:2: hds_config: is not implemented; take it out",
        "b.yaml:4: admin.allow_paths: is not implemented; take it out",
    ]


def test_fields_without_effect_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "b.yaml"
    path.write_text("stats_flush_interval: 5s\nadmin: {profile_path: /tmp/x}\n")

    assert load(Options(config_path=str(path))).static == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [1\nb: 2\n", "b.yaml:2: did not find expected"),
        ('{"node": {"id": "a"}\n"admin": {}}', "b.yaml:2: Expecting ',' delimiter at column 1"),
        ("- a\n", "b.yaml: want an object with fields, found list"),
        ("static_resources: {listeners: [{filters: 1}]}", "b.yaml:1: static_resources.listeners[0].filters"),
    ],
)
def test_what_is_no_configuration_is_told_where(tmp_path: Path, text: str, says: str) -> None:
    assert faults(tmp_path, text)[0].startswith(says)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"a":' * 3000, "b.yaml: nested too deeply"),
        ("a: " + "[" * 100_000, "b.yaml: nested too deeply"),
        ("1: 2\n", "b.yaml:1: 1: Bootstrap has no field 1;"),
        ('{"node":\n{"id": "\\ud800"}}', "b.yaml:2: '\\ud800' is no character"),
        ('{"watchdog": {},\n"a": "\x7f"}', "b.yaml:2: a: Bootstrap has no field 'a'"),
        (
            DNS % "google.protobuf.any_pb2.X",
            "b.yaml:1: typed_dns_resolver_config.typed_config.@type: unknown",
        ),
        (DNS % "google.protobuf.Struct", 'b.yaml:1: typed_dns_resolver_config.typed_config: want "value"'),
        (ADS % "99", "b.yaml:1: dynamic_resources.ads_config.api_type: 99 is not implemented: want GRPC"),
        (ADS % "1e309", "b.yaml:1: dynamic_resources.ads_config.api_type: want one of its names, found inf"),
        (
            CLUSTER % '{"connect_timeout": 1e309}',
            "b.yaml:1: static_resources.clusters[0].connect_timeout: inf",
        ),
        (
            CLUSTER % '{"name": "a", "typed_extension_protocol_options": {"a\\u0000": {}}}',
            'b.yaml:1: static_resources.clusters[0].typed_extension_protocol_options["a\\u0000"]',
        ),
        (SECRET % "\\u0000", "b.yaml:1: static_resources.secrets[0]: \0: embedded null byte"),
    ],
)
def test_what_fuzzing_found_is_told_as_a_fault(tmp_path: Path, text: str, says: str) -> None:
    assert faults(tmp_path, text)[0].startswith(says)


@pytest.mark.parametrize(
    ("server", "says"),
    [
        ({"address": "ns.test", "port_value": 53}, "address: 'ns.test' is no IP address"),
        ({"address": "::1", "port_value": 65536}, "port_value: want 1 to 65535, found 65536"),
    ],
)
def test_a_name_server_that_cannot_be_asked_is_told(
    tmp_path: Path, server: dict[str, Any], says: str
) -> None:
    resolvers = [{"socket_address": server}]
    config = {"dns_resolution_config": {"resolvers": resolvers}}
    at = f"dns_resolution_config.resolvers[0].socket_address.{says}"
    assert faults(tmp_path, json.dumps(config))[0].startswith(f"b.yaml:1: {at}")
    named = cluster("c", 1, type="STRICT_DNS", **config)
    of_cluster = faults(tmp_path, json.dumps({"static_resources": {"clusters": [named]}}))[0]
    assert of_cluster.startswith(f"b.yaml:1: static_resources.clusters[0].{at}")


def test_a_file_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(InvalidBootstrap, match="No such file or directory"):
        load(Options(config_path=str(tmp_path / "absent.yaml")))


def test_text_on_the_command_line_is_merged_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    path.write_text(json.dumps({"node": {"id": "file", "cluster": "c"}}))

    loaded = load(Options(config_path=str(path), config_yaml="node: {id: text}", service_cluster="flag"))

    assert (loaded.node.id, loaded.node.cluster, loaded.node.user_agent_name) == ("text", "flag", "meshproxy")


def test_the_sources_of_dynamic_resources_are_read(tmp_path: Path) -> None:
    service = {"envoy_grpc": {"cluster_name": "xds"}}
    bootstrap = {
        "dynamic_resources": {
            "ads_config": {"api_type": "DELTA_GRPC", "grpc_services": [service]},
            "cds_config": {"ads": {}, "initial_fetch_timeout": "2s"},
        },
        "static_resources": {"clusters": [cluster("xds", 80)]},
    }

    loaded = load(Options(config_yaml=json.dumps(bootstrap)))

    assert loaded.ads == Grpc(EnvoyGrpc("xds"), delta=True)
    assert loaded.cds == (Ads(), 2.0)
    assert loaded.lds is None


def test_a_source_that_we_cannot_follow_is_refused(tmp_path: Path) -> None:
    text = "dynamic_resources:\n  ads_config:\n    api_type: REST\n"

    assert faults(tmp_path, text) == [
        "b.yaml:3: dynamic_resources.ads_config.api_type: REST is not implemented: "
        "want GRPC or DELTA_GRPC or AGGREGATED_GRPC or AGGREGATED_DELTA_GRPC"
    ]
