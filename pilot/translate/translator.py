"""One model's meaning for every proxy: views shared by proxies that see the same, and each proxy's own few
parts.

Two proxies of one namespace with equal traits share clusters, endpoints, routes and the bodies of
listeners, as the same objects. What depends on the single proxy is its addresses and its inbound side.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from meshloom.pilot.model.base import Labels
from meshloom.pilot.model.lookup.gateways import gateways_for
from meshloom.pilot.model.lookup.peer_authentication import inbound_mtls
from meshloom.pilot.model.mesh import MeshModel, Service, ServicePort, ServicePortKey, TlsMode, Workload
from meshloom.pilot.model.outbound_ports import HTTP_PROXY_PORT, OutboundPorts
from meshloom.pilot.model.protocol import Protocol
from meshloom.pilot.translate.clusters import inbound_cluster
from meshloom.pilot.translate.listeners.gateway import gateway_ports
from meshloom.pilot.translate.listeners.inbound import InboundPort, inbound_listener
from meshloom.pilot.translate.memo import Memo
from meshloom.pilot.translate.proxy import HostPort, Proxy, ProxyKind
from meshloom.pilot.translate.resource import NO_RESOURCES, Resource, ResourceSet, TypeUrl, joined
from meshloom.pilot.translate.secrets import gateway_secrets
from meshloom.pilot.translate.settings import MeshWide, TranslateSettings
from meshloom.pilot.translate.snapshot import Snapshot
from meshloom.pilot.translate.traits import Traits
from meshloom.pilot.translate.view import View, ViewKey

_LOOPBACK = "127.0.0.1"


class ModelTranslator:
    """Snapshots of one model. Views are made on first use and kept for as long as the translator is."""

    def __init__(
        self,
        model: MeshModel,
        ports: OutboundPorts,
        settings: TranslateSettings,
        previous: ModelTranslator | None = None,
    ) -> None:
        """`previous` translated the model before: what has not changed since is taken over from it."""
        self._model = model
        self._ports = ports
        self._settings = settings
        self._wide = MeshWide.of(model, settings)
        same_mesh = previous is not None and previous._wide == self._wide
        self._memo: Memo = previous._memo.successor() if previous is not None and same_mesh else Memo()
        self._views: dict[ViewKey, View] = {}
        self._workloads: Mapping[str, Workload] = {w.address: w for w in model.workloads}
        self._served = _served_ports(model)

    def snapshot(self, proxy: Proxy) -> Snapshot:
        """Raises DanglingReference, which would be our own fault."""
        traits = Traits.of(proxy, self._has_identity(proxy))
        view = self._view(proxy, traits)
        match proxy.kind:
            case ProxyKind.SIDECAR:
                return self._sidecar(proxy, traits, view)
            case ProxyKind.ROUTER:
                return self._router(proxy, view)
            case ProxyKind.GRPC:
                return view.grpc_snapshot()

    def _view(self, proxy: Proxy, traits: Traits) -> View:
        key = ViewKey.of(self._model, proxy, traits)
        if key not in self._views:
            self._views[key] = View.of(self._model, key, self._settings, self._memo)
        return self._views[key]

    def _sidecar(self, proxy: Proxy, traits: Traits, view: View) -> Snapshot:
        inbound = list(self._inbound(proxy))
        clusters = [inbound_cluster(p.number, p.app, p.service, p.protocol.is_http2) for p in inbound]
        listeners = [
            inbound_listener(port, traits, self._model.config).at(proxy.ip, port.number) for port in inbound
        ]
        outgoing = self._memo.get(
            ("outbound", proxy.ip, proxy.namespace),
            (view.http_proxy, view.service_listeners, self._ports),
            lambda: ResourceSet.of(self._outbound_listeners(proxy, view)),
        )
        return Snapshot.build(
            {
                TypeUrl.CLUSTER: self._joined("clusters", proxy, view.clusters, clusters),
                TypeUrl.ENDPOINT: view.endpoints,
                TypeUrl.SECRET: NO_RESOURCES,
                TypeUrl.LISTENER: self._joined("listeners", proxy, outgoing, listeners),
                TypeUrl.ROUTE: view.routes,
            }
        )

    def _joined(self, part: str, proxy: Proxy, shared: ResourceSet, own: Sequence[Resource]) -> ResourceSet:
        return self._memo.get((part, proxy.ip), (shared, own), lambda: joined(shared, own))

    def _outbound_listeners(self, proxy: Proxy, view: View) -> Iterator[Resource]:
        yield view.http_proxy.at(proxy.ip, HTTP_PROXY_PORT)
        for key, draft in view.service_listeners.items():
            number = self._ports.by_key.get(key)
            if number is not None:
                yield draft.at(proxy.ip, number)

    def _router(self, proxy: Proxy, view: View) -> Snapshot:
        ports = gateway_ports(gateways_for(self._model, proxy.labels), view.scope)
        listeners = [
            port.draft.at(port.bind or proxy.gateway_bind, proxy.port_map.get(port.number, port.number))
            for port in ports
        ]
        return Snapshot.build(
            {
                TypeUrl.CLUSTER: view.clusters,
                TypeUrl.ENDPOINT: view.endpoints,
                TypeUrl.SECRET: ResourceSet.of(gateway_secrets(self._model, proxy.namespace)),
                TypeUrl.LISTENER: ResourceSet.of(listeners),
                TypeUrl.ROUTE: ResourceSet.of(table for port in ports for table in port.tables),
            }
        )

    def _inbound(self, proxy: Proxy) -> Iterator[InboundPort]:
        """Ports that services reach the workload on, and those its supervisor names."""
        served = self._served.get(proxy.ip, {})
        labels: Labels = self._workloads[proxy.ip].labels if proxy.ip in self._workloads else proxy.labels
        for number in sorted({*served, *proxy.app_ports}):
            service, port = served.get(number, (None, None))
            yield InboundPort(
                number=number,
                protocol=port.protocol if port is not None else Protocol.AUTO,
                app=proxy.app_ports.get(number, HostPort(_LOOPBACK, number)),
                service=service,
                mode=inbound_mtls(self._model, proxy.namespace, labels, number),
            )

    def _has_identity(self, proxy: Proxy) -> bool:
        """What the registry says of the workload counts; nobody registers gateways."""
        known = self._workloads.get(proxy.ip) if proxy.kind is ProxyKind.SIDECAR else None
        return proxy.identity and (known is None or known.tls_mode is TlsMode.ISTIO)


def _served_ports(model: MeshModel) -> Mapping[str, Mapping[int, tuple[Service, ServicePort]]]:
    """By address and workload port: what is served there. Of several services the oldest names the
    protocol.
    """
    found: dict[str, dict[int, tuple[Service, ServicePort]]] = defaultdict(dict)
    for service in sorted(model.services, key=lambda each: each.age_order):
        for port in service.ports:
            key = ServicePortKey(service.namespace, service.hostname, port.number)
            for endpoint in model.endpoints.get(key, ()):
                found[endpoint.address].setdefault(endpoint.port, (service, port))
    return found
