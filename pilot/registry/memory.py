"""The registry of one Pilot: workloads live as long as the streams that registered them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from meshloom.pilot.model.mesh import Health, Workload
from meshloom.pilot.registry.base import Changed

Id = tuple[str, str]


class MemoryRegistry:
    """To be used from one thread, the event loop's."""

    def __init__(self) -> None:
        self._registered: dict[Id, _Registration] = {}
        self._subscribers: list[Changed] = []

    def workloads(self) -> tuple[Workload, ...]:
        return tuple(self._registered[key].workload for key in sorted(self._registered))

    def register(self, workload: Workload) -> _Registration:
        registration = _Registration(self, workload)
        self._registered[registration.id] = registration
        self._tell()
        return registration

    def subscribe(self, changed: Changed) -> Callable[[], None]:
        self._subscribers.append(changed)
        return lambda: self._subscribers.remove(changed)

    def holds(self, registration: _Registration) -> bool:
        return self._registered.get(registration.id) is registration

    def remove(self, registration: _Registration) -> None:
        if self.holds(registration):
            del self._registered[registration.id]
            self._tell()

    def changed(self, registration: _Registration) -> None:
        if self.holds(registration):
            self._tell()

    def _tell(self) -> None:
        for changed in tuple(self._subscribers):
            changed()


class _Registration:
    def __init__(self, registry: MemoryRegistry, workload: Workload) -> None:
        self._registry = registry
        self._workload = workload

    @property
    def id(self) -> Id:
        return (self._workload.namespace, self._workload.name)

    @property
    def workload(self) -> Workload:
        return self._workload

    def set_health(self, health: Health) -> None:
        if health is not self._workload.health:
            self._workload = msgspec.structs.replace(self._workload, health=health)
            self._registry.changed(self)

    def end(self) -> None:
        self._registry.remove(self)
