"""An ingress gateway of a local mesh: a meshproxy of type `router`, with local ports for the Gateway's."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from meshloom.cli.errors import CliError, Exit
from meshloom.cli.local.addresses import claim_pod_ip, free_port, is_free
from meshloom.cli.local.bootstrap import NodeSpec, Upstreams
from meshloom.cli.local.children import Child, Nanny
from meshloom.cli.local.companions import Companions
from meshloom.cli.local.identity import IdentitySource
from meshloom.cli.local.settings import GatewayFile
from meshloom.cli.local.sidecar import ProxySettings, start_proxy, until_ready

OWNER = "istio-ingressgateway"


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway. `ports` maps the ports of Gateway objects to local ones."""

    child: Child
    node: NodeSpec
    ports: Mapping[int, int]
    bind: str

    def address(self, port: int) -> str:
        return f"{self.bind}:{self.ports[port]}"


@dataclass(frozen=True, slots=True)
class GatewayPlan:
    """What to run, and whom it listens to."""

    file: GatewayFile
    pilot: str
    mixer: str = ""
    identities: IdentitySource | None = None
    bind: str = "127.0.0.1"


async def start_gateway(
    plan: GatewayPlan, nanny: Nanny, proxies: ProxySettings, stack: AsyncExitStack, beside: Companions
) -> Gateway:
    """Serves when it returns; raises CliError when it does not come up or a port is taken."""
    pod = claim_pod_ip()
    stack.callback(pod.release)
    ports = {port: _local_port(plan.bind, local) for port, local in plan.file.ports.items()}
    node = NodeSpec(
        role="router",
        ip=pod.ip,
        name=OWNER,
        namespace=plan.file.namespace,
        owner=OWNER,
        labels={"app": OWNER, **plan.file.labels},
        service_account=plan.file.service_account,
        port_map=ports,
        bind=plan.bind,
    )
    socket = None
    if plan.identities is not None:
        socket = proxies.folder / f"{OWNER}.sock"
        await plan.identities.serve(node.namespace, node.service_account, socket, stack, beside)
    child = await start_proxy(nanny, node, Upstreams(plan.pilot, socket, plan.mixer), proxies)
    await until_ready(child, node, proxies.logs / f"{node.name}.{node.namespace}.proxy.log")
    return Gateway(child, node, ports, plan.bind)


def _local_port(bind: str, asked: int) -> int:
    if asked == 0:
        return free_port(bind)
    if not is_free(bind, asked):
        raise CliError(
            f"port {asked} of {bind} is taken or not for us",
            Exit.REFUSED,
            "name another as GATEWAY:LOCAL, or 0 for any free one",
        )
    return asked
