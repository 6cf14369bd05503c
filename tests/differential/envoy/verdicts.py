"""Bootstraps as they are found in the wild: one change to a plain one each, which both proxies judge."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.bootstrap import FAULT, TYPE, address, cluster, http_listener, route, static, virtual_host

Json = dict[str, Any]
EXTENSIONS = TYPE + "envoy.extensions."
STDOUT = {"@type": EXTENSIONS + "access_loggers.stream.v3.StdoutAccessLog"}
TCP = EXTENSIONS + "filters.network.tcp_proxy.v3.TcpProxy"


@dataclass(frozen=True)
class Change:
    """Fields set in parts of a plain bootstrap: the part's name, then what is set there."""

    name: str
    parts: Mapping[str, Json]


def change(name: str, **parts: Json) -> Change:
    return Change(name, parts)


def changed(one: Change) -> Json:
    bootstrap = static(
        [http_listener("web", [virtual_host(route({"prefix": "/"}, "up"))])], [cluster("up", 9)]
    )
    listener, up = bootstrap["static_resources"]["listeners"][0], bootstrap["static_resources"]["clusters"][0]
    chain = listener["filter_chains"][0]
    manager = chain["filters"][0]["typed_config"]
    del manager["route_config"]["validate_clusters"]
    host = manager["route_config"]["virtual_hosts"][0]
    places = {
        "bootstrap": bootstrap,
        "resources": bootstrap["static_resources"],
        "listener": listener,
        "chain": chain,
        "manager": manager,
        "table": manager["route_config"],
        "host": host,
        "entry": host["routes"][0],
        "match": host["routes"][0]["match"],
        "action": host["routes"][0]["route"],
        "cluster": up,
        "assignment": up["load_assignment"],
        "endpoint": up["load_assignment"]["endpoints"][0]["lb_endpoints"][0],
    }
    for part, fields in one.parts.items():
        places[part].update(copy.deepcopy(fields))
    return bootstrap


def layers(**values: Any) -> Json:
    return {"layered_runtime": {"layers": [{"name": "static", "static_layer": values}]}}


def packed(kind: str, **fields: Any) -> Json:
    return {"name": kind.rpartition(".")[2], "typed_config": {"@type": EXTENSIONS + kind, **fields}}


def admin(**fields: Any) -> Json:
    return {"admin": {"address": address(0), **fields}}


RESOLVER = "network.dns_resolver.cares.v3.CaresDnsResolverConfig"


def asking(server: str) -> Json:
    return packed(RESOLVER, resolvers=[address(53, server)])


def names(**fields: Any) -> Json:
    return {"type": "STRICT_DNS", **fields}


HEALTH = {"timeout": "1s", "interval": "1s", "unhealthy_threshold": 2, "healthy_threshold": 1}
SPELLINGS = [
    change("enum in lower case", cluster={"type": "static", "lb_policy": "round_robin"}),
    change("enum with a dash", cluster={"lb_policy": "round-robin"}),
    change("enum as a number", cluster={"type": 0}),
    change("boolean as a text", manager={"merge_slashes": "True"}, listener={"bind_to_port": "true"}),
    change("one value for a list", host={"domains": "*"}),
    change("duration as an object", cluster={"connect_timeout": {"seconds": 1}}),
    change("duration in milliseconds", cluster={"connect_timeout": "250ms"}),
    change("duration as a number", cluster={"connect_timeout": 1}),
    change("wrapped number as an object", listener={"per_connection_buffer_limit_bytes": {"value": 9}}),
    change("number as a text", endpoint={"load_balancing_weight": "5"}),
    change("number with a fraction", endpoint={"load_balancing_weight": 5.5}),
    change("negative weight", endpoint={"load_balancing_weight": -5}),
    change("camel case", cluster={"connectTimeout": "1s"} | {"connect_timeout": None}),
    change("text as a number", listener={"stat_prefix": 5}),
]
BOOTSTRAPS = [
    change(
        "admin log",
        bootstrap=admin(access_log=[packed("access_loggers.file.v3.FileAccessLog", path="/dev/null")]),
    ),
    change("admin log path", bootstrap=admin(access_log_path="/dev/null")),
    change("runtime", bootstrap=layers(overload={"global_downstream_max_connections": 5})),
    change("flat runtime", bootstrap=layers(**{"envoy.reloadable_features.some": True})),
    change("tags", bootstrap={"stats_config": {"stats_tags": [{"tag_name": "a", "fixed_value": "b"}]}}),
    change("no stats", bootstrap={"stats_config": {"stats_matcher": {"reject_all": True}}}),
    change("watchdogs", bootstrap={"watchdogs": {"worker_watchdog": {"miss_timeout": "1s"}}}),
    change("own cluster", bootstrap={"cluster_manager": {"local_cluster_name": "up"}}),
    change("names over TCP", bootstrap={"use_tcp_for_dns_lookups": True}),
    change("name servers of all", bootstrap={"typed_dns_resolver_config": asking("127.0.0.1")}),
    change("older name servers", bootstrap={"dns_resolution_config": {"resolvers": [address(53)]}}),
    change("no such field", bootstrap={"static_resource": {}}),
]
TLS = "transport_sockets.tls.v3.UpstreamTlsContext"
NAMED = {"tls_certificate_sds_secret_configs": [{"name": "mine"}]}
MISTAKES = [
    change("no such secret", cluster={"transport_socket": packed(TLS, common_tls_context=NAMED)}),
    change("typing error", cluster={"conect_timeout": "1s"}),
    change("no such enum", cluster={"lb_policy": "FASTEST"}),
    change("no such cluster", action={"cluster": "down"}),
    change("no such cluster, but allowed", action={"cluster": "down"}, table={"validate_clusters": False}),
    change("no name", cluster={"name": ""}),
    change("no stat prefix", manager={"stat_prefix": ""}),
    change("no domain", host={"domains": []}),
    change("no action", entry={"route": None}),
    change("no match", entry={"match": None}),
    change("regular expression", match={"prefix": None, "safe_regex": {"regex": "("}}),
    change("no such type", chain={"filters": [{"name": "x", "typed_config": {"@type": TYPE + "no.Such"}}]}),
    change("a filter of another kind", chain={"filters": [{"name": "x", "typed_config": {"@type": FAULT}}]}),
    change("no such command", entry={"request_headers_to_add": [{"header": {"key": "a", "value": "%NO%"}}]}),
    change("a pseudo header", entry={"request_headers_to_add": [{"header": {"key": ":a", "value": "b"}}]}),
    change(
        "no such file", entry={"route": None, "direct_response": {"status": 200, "body": {"filename": "/no"}}}
    ),
    change("a name for an address", listener={"address": address(0, "nowhere")}),
    change("a port too large", endpoint={"endpoint": {"address": address(70000)}}),
    change("no health timeout", cluster={"health_checks": [{"interval": "1s", "tcp_health_check": {}}]}),
    change("no health check", cluster={"health_checks": [HEALTH]}),
    change("status too low", entry={"route": None, "direct_response": {"status": 99}}),
    change("a name in STATIC", endpoint={"endpoint": {"address": address(80, "example.com")}}),
    change("two clusters of a name", resources={"clusters": [cluster("up", 9), cluster("up", 9)]}),
    change("two of a choice", action={"cluster_header": "x"}),
    change("a negative timeout", action={"timeout": "-1s"}),
    change("heads too large", manager={"max_request_headers_kb": 9000}),
    change("no routes", manager={"route_config": None}),
    change("TCP without a cluster", chain={"filters": [packed("filters.network.tcp_proxy.v3.TcpProxy")]}),
]
RING = {"lb_policy": "RING_HASH"}
HASHES_NAMES = {"consistent_hashing_lb_config": {"use_hostname_for_hashing": True}}


def policy(kind: str, **fields: Any) -> Json:
    entry = {"typed_extension_config": packed(f"load_balancing_policies.{kind}", **fields)}
    return {"load_balancing_policy": {"policies": [entry]}}


BALANCE = [
    change("ring", cluster=RING, action={"hash_policy": [{"header": {"header_name": "x"}}]}),
    change("too large a ring", cluster={**RING, "ring_hash_lb_config": {"minimum_ring_size": 9_000_000}}),
    change("ring upside down", cluster={**RING, "ring_hash_lb_config": {"maximum_ring_size": 9}}),
    change("maglev", cluster={"lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": 101}}),
    change("maglev of no prime", cluster={"lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": 100}}),
    change("names hashed that are none", cluster={**RING, "common_lb_config": HASHES_NAMES}),
    change("names hashed", cluster={**RING, "type": "STRICT_DNS", "common_lb_config": HASHES_NAMES}),
    change("hash of nothing", action={"hash_policy": [{}]}),
    *(
        change(kind, cluster=policy(kind))
        for kind in (
            *("round_robin.v3.RoundRobin", "least_request.v3.LeastRequest", "random.v3.Random"),
            *("ring_hash.v3.RingHash", "maglev.v3.Maglev"),
        )
    ),
    change("no policy", cluster={"load_balancing_policy": {"policies": []}}),
    change("zones", cluster={"common_lb_config": {"zone_aware_lb_config": {"min_cluster_size": 6}}}),
]
LATE = {
    "status_code_filter": {"comparison": {"op": "GE", "value": {"default_value": 400, "runtime_key": "k"}}}
}
FIELDS = [
    change("mapper", manager={"local_reply_config": {"mappers": [{"filter": LATE, "status_code": 500}]}}),
    change("mapper of all", manager={"local_reply_config": {"mappers": [{"status_code": 500}]}}),
    change(
        "mapper to nowhere",
        manager={"local_reply_config": {"mappers": [{"filter": LATE, "status_code": 100}]}},
    ),
    change("form of nothing", manager={"local_reply_config": {"body_format": {}}}),
    change("form unknown", manager={"local_reply_config": {"body_format": {"text_format": "%NO%"}}}),
    change("nameless listener", listener={"name": ""}),
    change("tracing of nothing", manager={"tracing": {"random_sampling": {"value": 1}}}),
    change(
        "internal addresses",
        manager={
            "internal_address_config": {"cidr_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]}
        },
    ),
    change("kept connections", manager={"stream_error_on_invalid_http_message": True}),
    change("ports told", manager={"append_x_forwarded_port": True}),
    change(
        "source",
        cluster={"upstream_bind_config": {"source_address": {"address": "127.0.0.1", "port_value": 0}}},
    ),
    change(
        "no source", cluster={"upstream_bind_config": {"source_address": {"address": "x", "port_value": 0}}}
    ),
    change("preconnecting", cluster={"preconnect_policy": {"per_upstream_preconnect_ratio": 1.5}}),
    change("resolver", cluster={"type": "STRICT_DNS", "typed_dns_resolver_config": packed(RESOLVER)}),
    change("name servers", cluster=names(typed_dns_resolver_config=asking("127.0.0.1"))),
    change("a named name server", cluster=names(typed_dns_resolver_config=asking("ns.test"))),
    change("older name servers", cluster=names(dns_resolution_config={"resolvers": [address(53)]})),
    change("names with their time", cluster=names(respect_dns_ttl=True, use_tcp_for_dns_lookups=True)),
    change("oldest name servers", cluster=names(dns_resolvers=[address(53)])),
    change("eyeballs", cluster={"upstream_connection_options": {"happy_eyeballs_config": {}}}),
]
XFF = packed("http.original_ip_detection.xff.v3.XffConfig", xff_num_trusted_hops=1)


def typed(name: str, **fields: Any) -> Json:
    return {"type": None, "cluster_type": {"name": name, **fields}}


TYPES = [
    *(
        change(name, cluster=typed(f"envoy.cluster.{name}"))
        for name in ("static", "strict_dns", "logical_dns", "dns")
    ),
    change("no such cluster type", cluster=typed("envoy.cluster.none")),
    change(
        "DNS as an extension",
        cluster=typed(**packed("clusters.dns.v3.DnsCluster", dns_lookup_family="V4_ONLY")),
    ),
    change(
        "underscores",
        cluster={"common_http_protocol_options": {"headers_with_underscores_action": "DROP_HEADER"}},
    ),
    change("hops as an extension", manager={"original_ip_detection_extensions": [XFF]}),
    change("hops twice", manager={"original_ip_detection_extensions": [XFF], "xff_num_trusted_hops": 1}),
    change(
        "hops at the edge", manager={"original_ip_detection_extensions": [XFF], "use_remote_address": True}
    ),
]
PLAIN = {"name": "more", "routes": [route({"prefix": "/"}, "up")]}


def weighted(name: str, *weights: int, **fields: Any) -> Change:
    clusters = [{"name": "up", "weight": weight} for weight in weights]
    return change(name, action={"cluster": None, "weighted_clusters": {"clusters": clusters, **fields}})


def weighted_tcp(name: str, *weights: int) -> Change:
    clusters = [{"name": "up", "weight": weight} for weight in weights]
    tcp = packed(
        "filters.network.tcp_proxy.v3.TcpProxy", stat_prefix="t", weighted_clusters={"clusters": clusters}
    )
    return change(name, chain={"filters": [tcp]})


def added(name: str, value: str) -> Change:
    return change(name, entry={"request_headers_to_add": [{"header": {"key": "a", "value": value}}]})


def domains(name: str, *wanted: str, others: tuple[str, ...] = ()) -> Change:
    table = {"virtual_hosts": [{**PLAIN, "name": "one", "domains": list(wanted)}]}
    if others:
        table["virtual_hosts"].append({**PLAIN, "domains": list(others)})
    return change(name, table=table)


def regex(name: str, text: str) -> Change:
    return change(name, match={"prefix": None, "safe_regex": {"regex": text}})


ROUTES = [
    domains("a domain twice", "a.test", "a.test"),
    domains("a domain in two cases", "a.test", "A.test"),
    domains("a domain in two hosts", "a.test", others=("a.test",)),
    domains("a domain in two hosts and cases", "a.test", others=("A.TEST",)),
    domains("two of all domains", "*", others=("*",)),
    domains("suffixes and prefixes", "*.test", "a.*", "*", "a.test:80"),
    change("two hosts of a name", table={"virtual_hosts": [{**PLAIN, "domains": [d]} for d in "ab"]}),
    weighted("weight 0 among others", 0, 1),
    weighted("weight 0 alone", 0),
    weighted("no weights"),
    weighted("weights over 32 bits", 4294967295, 1),
    weighted("total weight", 1, 1, total_weight=3),
    weighted_tcp("TCP weight 0 among others", 0, 1),
    weighted_tcp("TCP weight 0 alone", 0),
    weighted_tcp("TCP weights", 1, 2),
    added("path without query", "%REQ_WITHOUT_QUERY(:PATH)%"),
    added("unfinished command", "%REQ(x"),
    added("percent sign", "100%"),
    added("two percent signs", "100%%"),
    added("no parameter", "%REQ()%"),
    added("alternative", "%REQ(a?b):5%"),
    added("line end", "a\nb"),
    regex("empty regular expression", ""),
    regex("look-ahead", "(?=a)"),
    regex("back-reference", "(a)\\1"),
    regex("too many repetitions", "(a{1000}){1000}"),
    change("prefix without a slash", match={"prefix": "a"}),
    change("empty prefix", match={"prefix": ""}),
    change("separated prefix that ends with a slash", match={"prefix": None, "path_separated_prefix": "/a/"}),
    change("separated prefix with a query", match={"prefix": None, "path_separated_prefix": "/a?b"}),
    change("path with a query", match={"prefix": None, "path": "/a?b"}),
    change(
        "redirect to prefix of a regex",
        match={"prefix": None, "safe_regex": {"regex": "/.*"}},
        entry={"route": None, "redirect": {"prefix_rewrite": "/x"}},
    ),
    change(
        "two rewrites",
        action={"prefix_rewrite": "/x", "regex_rewrite": {"pattern": {"regex": "a"}, "substitution": "b"}},
    ),
    change("retry on nonsense", action={"retry_policy": {"retry_on": "nonsense"}}),
    change(
        "retry back-off of 0",
        action={"retry_policy": {"retry_on": "5xx", "retry_back_off": {"base_interval": "0s"}}},
    ),
    change(
        "retry back-off upside down",
        action={
            "retry_policy": {
                "retry_on": "5xx",
                "retry_back_off": {"base_interval": "2s", "max_interval": "1s"},
            }
        },
    ),
    change("retriable status code 99999", action={"retry_policy": {"retriable_status_codes": [99999]}}),
    change("rewritten by two", action={"host_rewrite_literal": "a", "auto_host_rewrite": True}),
    change(
        "header range upside down", match={"headers": [{"name": "a", "range_match": {"start": 5, "end": 1}}]}
    ),
    change("header without a name", match={"headers": [{"name": ""}]}),
    change("query parameter without a name", match={"query_parameters": [{"name": ""}]}),
    change(
        "direct response too long",
        entry={"route": None, "direct_response": {"status": 200, "body": {"inline_string": "x" * 5000}}},
    ),
    change("direct response of 600", entry={"route": None, "direct_response": {"status": 600}}),
    change("direct response of 101", entry={"route": None, "direct_response": {"status": 101}}),
    change(
        "redirect over two schemes",
        entry={"route": None, "redirect": {"https_redirect": True, "scheme_redirect": "a"}},
    ),
    change("rewrite to two lines", action={"prefix_rewrite": "/a\r\nb: c"}),
    change("host of two lines", action={"host_rewrite_literal": "a\r\nb: c"}),
    change("redirect of a line", entry={"route": None, "redirect": {"path_redirect": "/a\nb"}}),
    change("redirect to a host of two lines", entry={"route": None, "redirect": {"host_redirect": "a\r\nb"}}),
]
CHANGES = [*ROUTES, *TYPES, *FIELDS, *BALANCE, *SPELLINGS, *BOOTSTRAPS, *MISTAKES]
