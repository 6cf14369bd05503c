"""Kubernetes' Deployments, as far as a local supervisor needs them: which program, how many copies, who
they are."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from meshloom.cli.local.settings import LocalSettings, WorkloadSpec


class Metadata(msgspec.Struct, frozen=True):
    name: str = ""
    namespace: str = "default"
    labels: dict[str, str] = {}


class ContainerPort(msgspec.Struct, frozen=True, rename="camel"):
    container_port: int


class EnvVar(msgspec.Struct, frozen=True):
    name: str
    value: str = ""


class Container(msgspec.Struct, frozen=True):
    name: str = ""
    image: str = ""
    ports: list[ContainerPort] = []
    env: list[EnvVar] = []


class PodSpec(msgspec.Struct, frozen=True, rename="camel"):
    containers: list[Container] = []
    service_account_name: str = "default"


class PodTemplate(msgspec.Struct, frozen=True):
    metadata: Metadata = Metadata()
    spec: PodSpec = PodSpec()


class DeploymentSpec(msgspec.Struct, frozen=True):
    replicas: int = 1
    template: PodTemplate = PodTemplate()


class Deployment(msgspec.Struct, frozen=True):
    """What `up` reads of a Deployment; Pilot reads, and checks, all of it."""

    metadata: Metadata = Metadata()
    spec: DeploymentSpec = DeploymentSpec()

    @classmethod
    def parse(cls, document: str) -> "Deployment":
        return msgspec.json.decode(document, type=cls)


@dataclass(frozen=True, slots=True)
class Wanted:
    """How many copies of what; `missing` names the image that no program stands for."""

    spec: WorkloadSpec | None
    replicas: int
    missing: str = ""


def wanted(deployment: Deployment, settings: LocalSettings) -> Wanted:
    """Finds the first container whose image has a local program; the other containers are left out."""
    pod = deployment.spec.template
    for container in pod.spec.containers:
        if (program := settings.program(container.image)) is not None:
            break
    else:
        images = ", ".join(c.image for c in pod.spec.containers) or "no container"
        return Wanted(None, 0, images)
    spec = WorkloadSpec(
        namespace=deployment.metadata.namespace,
        owner=deployment.metadata.name,
        labels=pod.metadata.labels,
        service_account=pod.spec.service_account_name,
        program=program,
        ports=tuple(port.container_port for port in container.ports),
        env=_environment(container),
    )
    return Wanted(spec, deployment.spec.replicas)


def _environment(container: Container) -> Mapping[str, str]:
    return {variable.name: variable.value for variable in container.env}


Key = tuple[str, str]
"""Namespace and name of a Deployment."""


@dataclass(frozen=True, slots=True)
class Start:
    spec: WorkloadSpec


@dataclass(frozen=True, slots=True)
class Stop:
    copy: str


Action = Start | Stop


@dataclass(frozen=True, slots=True)
class Running:
    """A copy that runs and has not been asked to stop."""

    spec: WorkloadSpec
    ready: bool


def plan(desired: Mapping[Key, Wanted], running: Mapping[str, Running]) -> list[Action]:
    """What to start and stop so that the copies by name become what is wanted. Pure.

    Copies of a changed Deployment go only when as many of the new ones serve: a rollout loses no capacity.
    """
    actions: list[Action] = []
    for key, want in desired.items():
        mine = {name: copy for name, copy in running.items() if (copy.spec.namespace, copy.spec.owner) == key}
        current = [name for name, copy in mine.items() if copy.spec == want.spec]
        stale = [name for name in mine if name not in current]
        if want.spec is not None:
            actions += [Start(want.spec)] * max(0, want.replicas - len(current))
        if sum(mine[name].ready for name in current) >= want.replicas:
            actions += [Stop(name) for name in [*current[want.replicas :], *stale]]
    gone = (name for name, copy in running.items() if (copy.spec.namespace, copy.spec.owner) not in desired)
    return [*actions, *(Stop(name) for name in gone)]
