"""What `up` starts and stops, decided without starting anything."""

from dataclasses import replace
from pathlib import Path

from meshloom.cli.local.deployments import Deployment, Running, Start, Stop, Wanted, plan, wanted
from meshloom.cli.local.mesh import Failures
from meshloom.cli.local.settings import LocalSettings, Program, WorkloadSpec

ORDERS = WorkloadSpec("shop", "orders", {"app": "orders"}, "orders", Program(("orders",), {}, Path("/"), ""))
KEY = ("shop", "orders")


def running(*names: str, spec: WorkloadSpec = ORDERS, ready: bool = True) -> dict[str, Running]:
    return {name: Running(spec, ready) for name in names}


def test_missing_copies_are_started() -> None:
    assert plan({KEY: Wanted(ORDERS, 3)}, running("a")) == [Start(ORDERS), Start(ORDERS)]


def test_surplus_copies_are_stopped() -> None:
    assert plan({KEY: Wanted(ORDERS, 1)}, running("a", "b")) == [Stop("b")]


def test_nothing_is_done_when_all_is_as_wanted() -> None:
    assert plan({KEY: Wanted(ORDERS, 2)}, running("a", "b")) == []


def test_copies_of_a_deployment_that_is_gone_are_stopped() -> None:
    assert plan({}, running("a")) == [Stop("a")]


def test_a_changed_deployment_starts_the_new_before_it_stops_the_old() -> None:
    changed = replace(ORDERS, env={"COLOR": "blue"})
    old = running("old")
    assert plan({KEY: Wanted(changed, 1)}, old) == [Start(changed)]
    assert plan({KEY: Wanted(changed, 1)}, old | running("new", spec=changed, ready=False)) == []
    assert plan({KEY: Wanted(changed, 1)}, old | running("new", spec=changed)) == [Stop("old")]


def test_scaled_to_zero_ends_all() -> None:
    assert plan({KEY: Wanted(ORDERS, 0)}, running("a", "b")) == [Stop("a"), Stop("b")]


def test_failures_back_off_and_are_forgotten_after_a_stable_run() -> None:
    failures = Failures()
    assert [failures.back_off(now, now - 1) for now in (0.0, 1.0, 2.0)] == [0.5, 1.0, 2.0]
    assert max(failures.back_off(3.0, 2.0) for _ in range(20)) == 30.0
    assert failures.back_off(1000.0, 900.0) == 0.5


SETTINGS = LocalSettings(Path("/"), Path("/"), (("shop/orders:*", ORDERS.program),))
DEPLOYMENT = """{"metadata": {"name": "orders", "namespace": "shop"}, "spec": {"replicas": 2, "template": {
  "metadata": {"labels": {"app": "orders"}},
  "spec": {"serviceAccountName": "orders", "containers": [
    {"image": "other/sidecar:1"},
    {"image": "shop/orders:1.0", "ports": [{"containerPort": 8080}], "env": [{"name": "A", "value":
    "b"}]}]}}}}"""


def test_a_deployment_says_what_to_run_as_whom() -> None:
    found = wanted(Deployment.parse(DEPLOYMENT), SETTINGS)
    assert found == Wanted(replace(ORDERS, ports=(8080,), env={"A": "b"}), 2)


def test_an_image_without_a_program_is_named() -> None:
    found = wanted(Deployment.parse(DEPLOYMENT.replace("shop/orders", "shop/unknown")), SETTINGS)
    assert (found.spec, found.missing) == (None, "other/sidecar:1, shop/unknown:1.0")
