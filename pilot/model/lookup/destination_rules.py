"""Which DestinationRule a client follows for a service, and its policy for a port and subset (semantics 31).

Namespaces are asked in turn (the client's, the service's, the root's) and the first with a matching rule
wins completely. Inside a namespace, rules for the same host with the same export list merge: their subsets
are joined and the oldest top-level policy counts. A rule with a workload selector stands apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec
from meshloom.pilot.model.base import Hostname, LabelSelector, MeshObject, Namespace, Value, labels_match
from meshloom.pilot.model.destination_rule import DestinationRule, Subset, TrafficPolicy
from meshloom.pilot.model.hosts import most_specific
from meshloom.pilot.model.lookup.visibility import is_exported
from meshloom.pilot.model.mesh import MeshModel, Service

Rule = MeshObject[DestinationRule]


class Client(Value, frozen=True):
    """The proxy that asks."""

    namespace: Namespace
    labels: Mapping[str, str] = {}


class MergedRule(Value, frozen=True):
    """What the rules of one namespace say about a host. `sources` are the objects it was merged from."""

    traffic_policy: TrafficPolicy | None
    subsets: tuple[Subset, ...]
    sources: tuple[Rule, ...]

    def subset(self, name: str) -> Subset | None:
        return next((subset for subset in self.subsets if subset.name == name), None)


def destination_rule_for(model: MeshModel, service: Service, client: Client) -> MergedRule | None:
    """The merged rule that `client` follows when it calls `service`, or None."""
    for rules in _candidates(model, service, client):
        pattern = most_specific((Hostname(rule.spec.host) for rule in rules), service.hostname)
        if pattern is not None:
            return _merge([rule for rule in rules if rule.spec.host == pattern])
    return None


def traffic_policy(rule: MergedRule | None, port: int, subset: str = "") -> TrafficPolicy:
    """The policy in force: the subset's blocks over the destination's, a port's settings in place of both."""
    if rule is None:
        return TrafficPolicy()
    merged = _overlay(TrafficPolicy(), rule.traffic_policy, port)
    chosen = rule.subset(subset) if subset else None
    return merged if chosen is None else _overlay(merged, chosen.traffic_policy, port)


def _candidates(model: MeshModel, service: Service, client: Client) -> Iterator[list[Rule]]:
    """Rules per namespace, in the order of precedence."""
    root = Namespace(model.config.root_namespace)
    visible = [rule for rule in _naming(model, service.hostname) if _applies(rule, client)]
    if client.namespace == root:
        yield [rule for rule in visible if rule.namespace == root and rule.spec.export_to == (root,)]
    else:
        yield [rule for rule in visible if rule.namespace == client.namespace]
    yield [rule for rule in visible if rule.namespace == service.namespace]
    yield [rule for rule in visible if rule.namespace == root]


def _naming(model: MeshModel, hostname: Hostname) -> list[Rule]:
    """Every rule whose host covers `hostname`, oldest first."""
    exact = model.destination_rules.get(hostname, ())
    wild = [
        rule
        for host, rules in model.destination_rules.items()
        if host.startswith("*") and most_specific((host,), hostname)
        for rule in rules
    ]
    return sorted((*exact, *wild), key=lambda rule: rule.age_order) if wild else list(exact)


def _applies(rule: Rule, client: Client) -> bool:
    own = rule.namespace == client.namespace
    if not own and not is_exported(rule.spec.export_to, client.namespace):
        return False
    selector = _selected(rule)
    return not selector or (own and labels_match(selector, client.labels))


def _selected(rule: Rule) -> Mapping[str, str]:
    return (rule.spec.workload_selector or LabelSelector()).match_labels


def _merge(rules: list[Rule]) -> MergedRule:
    """`rules` name the same host in one namespace and apply to the client, oldest first."""
    first = next((rule for rule in rules if _selected(rule)), rules[0])
    alike = [
        rule
        for rule in rules
        if rule.spec.export_to == first.spec.export_to and _selected(rule) == _selected(first)
    ]
    subsets: dict[str, Subset] = {}
    for rule in alike:
        for subset in rule.spec.subsets:
            subsets.setdefault(subset.name, subset)
    policies = (rule.spec.traffic_policy for rule in alike if rule.spec.traffic_policy is not None)
    return MergedRule(next(policies, None), tuple(subsets.values()), tuple(alike))


def _overlay(below: TrafficPolicy, above: TrafficPolicy | None, port: int) -> TrafficPolicy:
    if above is None:
        return below
    given = {
        name: value
        for name in TrafficPolicy.__struct_fields__
        if name != "port_level_settings" and (value := getattr(above, name)) is not None
    }
    merged = msgspec.structs.replace(below, **given)
    for settings in above.port_level_settings:
        if settings.port is not None and settings.port.number == port:
            return msgspec.structs.replace(
                merged,
                load_balancer=settings.load_balancer,
                connection_pool=settings.connection_pool,
                outlier_detection=settings.outlier_detection,
                tls=settings.tls,
            )
    return merged
