"""Which mutual-TLS mode a workload's port serves (semantics 33).

Port, workload, namespace and mesh are asked in turn; UNSET passes the question on; nobody asked: PERMISSIVE.
"""

from __future__ import annotations

from collections.abc import Mapping

from meshloom.pilot.model.base import LabelSelector, MeshObject, Namespace, labels_match
from meshloom.pilot.model.mesh import MeshModel
from meshloom.pilot.model.peer_authentication import MtlsMode, MutualTls, PeerAuthentication

Policy = MeshObject[PeerAuthentication]


def inbound_mtls(model: MeshModel, namespace: Namespace, labels: Mapping[str, str], port: int) -> MtlsMode:
    """The mode of one workload port: DISABLE, PERMISSIVE or STRICT."""
    workload = _workload_policy(model, namespace, labels)
    root = Namespace(model.config.root_namespace)
    asked = (
        _mode(workload.spec.port_level_mtls.get(str(port))) if workload else MtlsMode.UNSET,
        _mode(workload.spec.mtls) if workload else MtlsMode.UNSET,
        _namespace_mode(model, namespace),
        _namespace_mode(model, root),
    )
    return next((mode for mode in asked if mode is not MtlsMode.UNSET), MtlsMode.PERMISSIVE)


def mtls_policies(model: MeshModel, namespace: Namespace, labels: Mapping[str, str]) -> tuple[Policy, ...]:
    """The objects that decide this workload's mode, narrowest first, for explanations."""
    root = Namespace(model.config.root_namespace)
    found = (
        _workload_policy(model, namespace, labels),
        _namespace_policy(model, namespace),
        _namespace_policy(model, root) if root != namespace else None,
    )
    return tuple(policy for policy in found if policy is not None)


def _workload_policy(model: MeshModel, namespace: Namespace, labels: Mapping[str, str]) -> Policy | None:
    """The oldest policy whose selector picks the workload. Selectors in the root namespace select nothing."""
    if namespace == model.config.root_namespace:
        return None
    return next(
        (
            policy
            for policy in model.peer_authentications
            if policy.namespace == namespace
            and (selector := _selector(policy))
            and labels_match(selector, labels)
        ),
        None,
    )


def _namespace_policy(model: MeshModel, namespace: Namespace) -> Policy | None:
    return next(
        (p for p in model.peer_authentications if p.namespace == namespace and not _selector(p)), None
    )


def _namespace_mode(model: MeshModel, namespace: Namespace) -> MtlsMode:
    policy = _namespace_policy(model, namespace)
    return _mode(policy.spec.mtls) if policy else MtlsMode.UNSET


def _selector(policy: Policy) -> Mapping[str, str]:
    return (policy.spec.selector or LabelSelector()).match_labels


def _mode(mtls: MutualTls | None) -> MtlsMode:
    return mtls.mode if mtls else MtlsMode.UNSET
