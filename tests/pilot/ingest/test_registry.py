"""One suite for every workload registry."""

from __future__ import annotations

import pytest
from meshloom.pilot.model.base import Namespace
from meshloom.pilot.model.mesh import Health, Workload
from meshloom.pilot.registry.base import WorkloadRegistry
from meshloom.pilot.registry.memory import MemoryRegistry


def workload(name: str, address: str = "127.1.0.1") -> Workload:
    return Workload(name=name, namespace=Namespace("shop"), address=address)


@pytest.fixture(params=[MemoryRegistry])
def registry(request: pytest.FixtureRequest) -> WorkloadRegistry:
    made: WorkloadRegistry = request.param()
    return made


class TestWorkloadRegistry:
    def test_workloads_come_and_go(self, registry: WorkloadRegistry) -> None:
        b, a = registry.register(workload("b")), registry.register(workload("a"))
        assert [w.name for w in registry.workloads()] == ["a", "b"]
        b.end()
        b.end()
        assert registry.workloads() == (a.workload,)

    def test_health_is_that_of_the_registered_workload(self, registry: WorkloadRegistry) -> None:
        registration = registry.register(workload("a"))
        registration.set_health(Health.DRAINING)
        assert [w.health for w in registry.workloads()] == [Health.DRAINING]

    def test_a_change_is_visible_before_subscribers_are_told(self, registry: WorkloadRegistry) -> None:
        seen: list[list[Health]] = []
        registry.subscribe(lambda: seen.append([w.health for w in registry.workloads()]))
        registration = registry.register(workload("a"))
        registration.set_health(Health.UNHEALTHY)
        registration.set_health(Health.UNHEALTHY)
        registration.end()
        assert seen == [[Health.HEALTHY], [Health.UNHEALTHY], []]

    def test_who_unsubscribes_is_told_no_more(self, registry: WorkloadRegistry) -> None:
        told: list[None] = []
        unsubscribe = registry.subscribe(lambda: told.append(None))
        unsubscribe()
        registry.register(workload("a"))
        assert told == []

    def test_a_second_registration_replaces_the_first_for_good(self, registry: WorkloadRegistry) -> None:
        first = registry.register(workload("a", "127.1.0.1"))
        second = registry.register(workload("a", "127.1.0.2"))
        first.set_health(Health.UNHEALTHY)
        first.end()
        assert registry.workloads() == (second.workload,)
        assert second.workload.health is Health.HEALTHY
