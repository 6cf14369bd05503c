"""Each error names file and line, the field's path, what is wrong and what would be right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from meshloom.pilot.ingest.diagnostic import Severity, render_path
from meshloom.pilot.ingest.parse import parse_mesh_config_text, parse_text
from meshloom.pilot.ingest.validate import validate
from meshloom.pilot.model.base import ObjectKey

from tests.pilot.ingest.documents import document, errors, parse, warnings

TO_A = {"route": [{"destination": {"host": "a"}}]}
MISTAKEN = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: reviews
  namespace: shop
spec:
  hosts: [reviews]
  http:
  - mathc:
    - uri: {prefix: /}
    route:
    - destination:
        host: reviews
        port: {number: 99999}
      weight: "50"
    timeout: 5
"""


def test_all_faults_of_a_document_are_found_at_once_with_their_places() -> None:
    found = errors(parse_text(MISTAKEN, "shop/reviews.yaml"))
    assert [(d.line, d.path, d.message) for d in found] == [
        (9, "spec.http[0].mathc", 'unknown field "mathc"'),
        (
            14,
            "spec.http[0].route[0].destination.port.number",
            "Invalid value: 99999: port must be between 1-65535",
        ),
        (15, "spec.http[0].route[0].weight", 'Invalid value: "50": must be an integer'),
        (16, "spec.http[0].timeout", "Invalid value: 5: must be a duration in quotes"),
    ]
    assert found[0].hint == 'did you mean "match"?'
    assert {(d.source, d.object) for d in found} == {
        ("shop/reviews.yaml", ObjectKey("VirtualService", "shop", "reviews"))
    }
    assert str(found[0]) == (
        'shop/reviews.yaml:9: error: spec.http[0].mathc: unknown field "mathc"; did you mean "match"?'
        " (VirtualService shop/reviews)"
    )


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("just text", "", 'a document must be an object, found "just text"'),
        ("kind: Service\nmetadata: {name: a}", "apiVersion", "Required value"),
        ("apiVersion: v1\nkind: Service\nmetadata: {}", "metadata.name", "Required value"),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: A_b}", "metadata.name", "not a valid name"),
        (
            "apiVersion: v2\nkind: Service\nmetadata: {name: a}",
            "apiVersion",
            "unknown version of Service: v2",
        ),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: a, labels: {version: 1}}",
            "metadata.labels.version",
            "must be a string",
        ),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspce: {}", "spce", 'unknown field "spce"'),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: []", "spec", "must be an object"),
        ("apiVersion: v1\nkind: List\nitems: 3", "items", "must be a list"),
        ("? [a]\n: b", "", "invalid YAML"),
    ],
)
def test_documents_that_are_no_objects_of_ours(text: str, path: str, message: str) -> None:
    (found,) = errors(parse(text))
    assert found.path == path
    assert message in found.message


def test_an_unknown_kind_is_a_warning_with_the_likeliest_meant_one() -> None:
    parsed = parse("apiVersion: networking.istio.io/v1\nkind: VirtualServce\nmetadata: {name: a}\n")
    (found,) = parsed.diagnostics
    assert (found.severity, found.hint) == (Severity.WARNING, 'did you mean "VirtualService"?')


def test_a_claim_in_a_header_match_is_no_header() -> None:
    headers = {"@request.auth.claims.group": {"exact": "admin"}, "x": {"exact": "1"}}
    http = {"match": [{"headers": headers}], "route": [{"destination": {"host": "a"}}]}
    (found,) = warnings(parse(document("VirtualService", "shop/a", {"hosts": ["a"], "http": [http]})))
    assert found.path == 'spec.http[0].match[0].headers["@request.auth.claims.group"]'


def test_a_field_without_effect_yet_is_named_with_its_line() -> None:
    spec = {
        "hosts": ["a"],
        "http": [{"route": [{"destination": {"host": "a"}}], "corsPolicy": {"maxAge": "1s"}}],
    }
    parsed = parse(document("VirtualService", "shop/a", spec))
    (found,) = warnings(parsed)
    assert found.path == "spec.http[0].corsPolicy"
    assert found.line == 13
    assert found.message == ("corsPolicy is not implemented by meshproxy yet: it takes effect in Envoy alone")
    assert len(parsed.accepted) == 1


ADVISED: list[tuple[dict[str, Any], str, str]] = [
    ({"http": [TO_A, TO_A]}, "spec.http[1]", "never reached: http[0] before it takes every request"),
    (
        {"http": [{"match": [{"method": {"exact": "GET"}}, {"uri": {"prefix": "/"}}], **TO_A}, TO_A]},
        "spec.http[1]",
        "never reached",
    ),
    (
        {"http": [{"match": [{}], **TO_A}]},
        "spec.http[0].match[0]",
        "an empty match block takes every request",
    ),
    (
        {"http": [{"fault": {"delay": {"fixedDelay": "1s"}}, **TO_A}]},
        "spec.http[0].fault.delay",
        "nobody is delayed",
    ),
    (
        {"http": [{"fault": {"abort": {"httpStatus": 500}}, **TO_A}]},
        "spec.http[0].fault.abort",
        "nobody is aborted",
    ),
    (
        {"http": [{"headers": {"request": {"remove": ["x", "Host"]}}, **TO_A}]},
        "spec.http[0].headers.request.remove[1]",
        "stays as it is",
    ),
]


@pytest.mark.parametrize(("spec", "path", "words"), ADVISED)
def test_what_is_surely_not_meant_is_a_warning(spec: dict[str, Any], path: str, words: str) -> None:
    parsed = parse(document("VirtualService", "shop/a", {"hosts": ["a"], **spec}))
    (found,) = warnings(parsed)
    assert found.path == path
    assert words in found.message
    assert len(parsed.accepted) == 1


def test_a_likely_misspelt_field_of_kubernetes_is_a_warning() -> None:
    container = {"name": "c", "imgae": "x", "livenessProbe": {"anything": 1}}
    template = {"metadata": {"lables": {"app": "a"}}, "spec": {"containers": [container]}}
    spec = {"replica": 3, "strategy": {"type": "Recreate"}, "template": template}
    parsed = parse(document("Deployment", "shop/a", spec, anotations={}))
    assert [(d.path, d.hint) for d in warnings(parsed)] == [
        ("metadata.anotations", 'did you mean "annotations"?'),
        ("spec.replica", 'did you mean "replicas"?'),
        ("spec.template.metadata.lables", 'did you mean "labels"?'),
        ("spec.template.spec.containers[0].imgae", 'did you mean "image"?'),
    ]
    assert len(parsed.accepted) == 1


def test_items_of_a_list_are_objects_of_their_own() -> None:
    text = """\
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Service
  metadata: {name: a}
  spec: {ports: [{port: 80}]}
- apiVersion: v1
  kind: Service
  metadata: {name: b}
  spec: {ports: [{prot: 80}]}
"""
    parsed = parse_text(text, "list.yaml")
    assert [a.object.origin.line for a in parsed.accepted] == [4]
    assert {(d.line, d.path) for d in errors(parsed)} == {
        (11, "items[1].spec.ports[0].prot"),
        (11, "items[1].spec.ports[0].port"),
    }


def test_odd_keys_are_quoted_in_paths() -> None:
    assert render_path(("spec", "headers", "x.y", 0)) == 'spec.headers["x.y"][0]'


def test_validate_reads_files_and_directories(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(MISTAKEN)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.yml").write_text("{")
    (tmp_path / "meshloom.yaml").write_text("images: {}")
    (tmp_path / "notes.txt").write_text("{")
    found = validate([tmp_path, tmp_path / "missing.yaml"])
    assert len(found) == 6
    assert [Path(d.source).name for d in found][-2:] == ["b.yml", "missing.yaml"]
    assert found[-1].message.startswith("cannot read: No such file")


def test_mesh_config_is_read_from_the_config_map_that_istio_uses() -> None:
    text = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    trustDomain: example.org
    enableTracing: true
    outboundTrafficPolicy: {mode: REGISTRY_ONLY}
    trustDomian: typo
"""
    parsed = parse_text(text, "istio.yaml")
    assert [(d.severity, d.line, d.path, d.hint) for d in parsed.diagnostics] == [
        (Severity.ERROR, 9, "trustDomian", 'did you mean "trustDomain"?'),
        (Severity.WARNING, 7, "enableTracing", ""),
        (Severity.WARNING, 8, "outboundTrafficPolicy", ""),
    ]


def test_mesh_config_in_a_file_of_its_own() -> None:
    parsed = parse_mesh_config_text("rootNamespace: root\nconnectTimeout: 3s\n", "mesh.yaml")
    (accepted,) = parsed.accepted
    assert (accepted.object.spec.root_namespace, str(accepted.object.spec.connect_timeout)) == ("root", "3s")  # type: ignore[union-attr]
