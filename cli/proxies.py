"""The proxies that Pilot serves, as its client status says, and what one of them tells of itself."""

import http.client
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from envoy.service.status.v3 import csds_pb2, csds_pb2_grpc
from google.protobuf.json_format import MessageToDict
from meshloom.cli.errors import CliError, Exit
from meshloom.cli.pilot import pilot_channel, refused

_DEADLINE_S = 10.0
# Column -> the end of the resource type's URL, in the order in which they are pushed.
TYPES = {"CDS": ".Cluster", "EDS": ".ClusterLoadAssignment", "LDS": ".Listener", "RDS": ".RouteConfiguration"}


@dataclass(frozen=True, slots=True)
class ConnectedProxy:
    """One proxy with a stream to Pilot."""

    id: str
    metadata: Mapping[str, Any]
    status: Mapping[str, str]
    """Column (CDS, ...) -> SYNCED, STALE, ERROR or NOT SENT."""
    errors: Sequence[str]
    client: str

    @property
    def name(self) -> str:
        """`workload.namespace`, as in the node id."""
        parts = self.id.split("~")
        return parts[2] if len(parts) == 4 else self.id

    @property
    def admin(self) -> str | None:
        address = self.metadata.get("MESHLOOM_ADMIN")
        return str(address) if address else None


def connected(pilot: str | None) -> list[ConnectedProxy]:
    """Every proxy that has a stream now, by name."""
    with pilot_channel(pilot) as channel:
        stub = csds_pb2_grpc.ClientStatusDiscoveryServiceStub(channel)
        try:
            response = stub.FetchClientStatus(csds_pb2.ClientStatusRequest(), timeout=_DEADLINE_S)
        except grpc.RpcError as error:
            raise refused(error) from error
    return sorted(map(_proxy, response.config), key=lambda proxy: proxy.name)


def _proxy(config: Any) -> ConnectedProxy:
    status = dict.fromkeys(TYPES, "-")
    errors = []
    for generic in config.generic_xds_configs:
        column = next((c for c, end in TYPES.items() if generic.type_url.endswith(end)), None)
        if column is not None:
            status[column] = csds_pb2.ConfigStatus.Name(generic.config_status).replace("_", " ")
        if generic.error_state.details:
            errors.append(f"{column or generic.type_url}: {generic.error_state.details}")
    node = config.node
    client = f"{node.user_agent_name} {node.user_agent_version}".strip()
    return ConnectedProxy(node.id, MessageToDict(node.metadata), status, errors, client)


def find(workload: str, pilot: str | None) -> ConnectedProxy:
    """The one proxy whose name is `workload`, or starts with it; `.namespace` may follow. Raises CliError."""
    proxies = connected(pilot)
    name, _, namespace = workload.partition(".")
    exact = [p for p in proxies if p.name == workload]
    matching = exact or [p for p in proxies if _matches(p.name, name, namespace)]
    if not matching:
        known = ", ".join(p.name for p in proxies) or "none"
        raise CliError(f"no proxy of {workload!r} is connected", Exit.REFUSED, f"connected: {known}")
    return matching[0]


def _matches(full: str, name: str, namespace: str) -> bool:
    workload, _, where = full.partition(".")
    return workload.startswith(name) and (not namespace or where == namespace)


def admin_get(proxy: ConnectedProxy, path: str) -> Any:
    """JSON from a proxy's admin endpoint; raises CliError (exit code 3) when it does not answer."""
    if proxy.admin is None:
        raise CliError(
            f"{proxy.name} does not say where its admin endpoint is",
            Exit.REFUSED,
            "its node metadata has no MESHLOOM_ADMIN; ask its /config_dump directly",
        )
    host, _, port = proxy.admin.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=_DEADLINE_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise CliError(f"{proxy.name} at {proxy.admin}: {error}", Exit.UNREACHABLE) from error
    finally:
        connection.close()
    if response.status != 200:
        raise CliError(f"{proxy.name}: {path}: {response.status} {response.reason}", Exit.REFUSED)
    return json.loads(body)
