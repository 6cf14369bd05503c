"""The registry port: who runs, where, and how well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from meshloom.pilot.model.mesh import Health, Workload

Changed = Callable[[], None]


class Registration(Protocol):
    """One workload's place in the registry, held by whoever registered it."""

    @property
    def workload(self) -> Workload: ...

    def set_health(self, health: Health) -> None: ...

    def end(self) -> None:
        """The workload is gone at once. Ending twice does nothing."""
        ...


class WorkloadRegistry(Protocol):
    """Promises: a change is visible in `workloads` before subscribers are told; a second registration under
    the same namespace and name replaces the first, whose handle then changes nothing any more."""

    def workloads(self) -> tuple[Workload, ...]:
        """All that are registered, sorted by namespace and name."""
        ...

    def register(self, workload: Workload) -> Registration: ...

    def subscribe(self, changed: Changed) -> Callable[[], None]:
        """Calls `changed` after each change; the result ends that."""
        ...
