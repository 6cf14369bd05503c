"""The compiled core: the data-path worker and the resource compiler."""

from collections.abc import Sequence
from typing import final

__version__: str

class InvalidResource(ValueError):
    """A resource cannot be accepted; the last good version stays in force.

    `str(error)` is `<path>: <reason>`.
    """

    path: str
    """The field at fault, from the resource's root: `filter_chains[0].filters[0].typed_config.codec_type`."""
    reason: str
    """What is wrong with it, and what would be right."""

@final
class Address:
    """Where an endpoint is."""

    @property
    def host(self) -> str:
        """A DNS name."""

    @property
    def port(self) -> int: ...

@final
class Listen:
    """A socket that a listener listens on."""

    @property
    def host(self) -> str:
        """An IP address, or the path of a Unix socket (then `port` is 0)."""

    @property
    def port(self) -> int: ...
    @property
    def backlog(self) -> int: ...
    @property
    def ipv4_compat(self) -> bool:
        """An IPv6 socket takes IPv4 connections too."""

    @property
    def mode(self) -> int:
        """Permissions of a Unix socket's path; 0 leaves them to the umask."""

    @property
    def options(self) -> Sequence[tuple[int, int, bytes, str]]:
        """Socket options: level, name, value, and when (`before_bind`, `bound`, `listening`)."""

@final
class ResourceSummary:
    """What the agent and the arbiter need to know of a resource that compiled."""

    @property
    def name(self) -> str: ...
    @property
    def listens(self) -> Sequence[Listen]:
        """Listener: the sockets to bind. Empty for the other kinds, and for `bind_to_port: false`."""

    @property
    def route_names(self) -> Sequence[str]:
        """Listener: the route configurations it takes over RDS."""

    @property
    def eds_names(self) -> Sequence[str]:
        """Cluster: the assignment it takes over EDS (its `service_name`, else its name)."""

    @property
    def secret_names(self) -> Sequence[str]:
        """Listener, cluster: the secrets it takes over SDS."""

    @property
    def cluster_names(self) -> Sequence[str]:
        """Listener, route configuration: the clusters it refers to."""

    @property
    def dns_targets(self) -> Sequence[Address]:
        """Cluster: the names to resolve and send back as the assignment `dns|<cluster>`."""

    @property
    def dns_first_address_only(self) -> bool:
        """Cluster: LOGICAL_DNS, of whose answer only the first address counts."""

    @property
    def dns_refresh_seconds(self) -> float:
        """Cluster: how often to ask again; 0 without `dns_targets`."""

def check(type_url: str, resource: bytes) -> ResourceSummary:
    """Compiles one resource, to be called before it is ACKed.

    `resource` is the serialized message of `type_url` (the `value` of its `Any`), every DataSource inlined.
    Raises `InvalidResource`.
    """

def run_worker(settings_json: str) -> int:
    """Serves traffic until drained, and returns the process's exit code. Lets go of the GIL for life.

    To be called in a process of its own, right after the fork. `settings_json` is an object:

    - `slot`, `workers`: this worker's place among how many;
    - `control_fd`: SOCK_SEQPACKET to the arbiter; `telemetry_fd`: memfd of this slot's region (or null);
      `bundle_fd`: memfd of the newest full bundle (or null);
    - `listeners`: `[{"address": "127.0.0.1", "port": 80, "fd": 7}]`, sockets that already listen;
    - `node`: `{"id", "cluster", "metadata": {...}}`; `log_level`: Envoy's names; `drain_time_s`.

    Descriptors named here belong to the worker from then on. Exit codes: 0 drained, 1 failed while it served,
    3 could not start (bad settings), 4 could not compile its first bundle.
    """
