"""From a change to what every client is told: model, outbound ports, translation, push.

The push loop calls it for each debounced batch of changes. Whoever else depends on the model (the registry
tells workloads where services are) subscribes here, and so sees exactly what the proxies were told.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from meshloom.pilot.model.mesh import MeshModel
from meshloom.pilot.model.outbound_ports import OutboundPorts
from meshloom.pilot.translate.settings import TranslateSettings
from meshloom.pilot.translate.translator import ModelTranslator
from meshloom.pilot.xds.debounce import Changes
from meshloom.pilot.xds.hub import Hub
from meshloom.pilot.xds.metrics import PilotMetrics
from meshloom.runtime.log import Log

Told = Callable[[MeshModel, OutboundPorts], Awaitable[None]]

_log = Log("pilot.push")


class Publisher:
    """Holds the model in force. To be used from one thread, the event loop's."""

    def __init__(
        self, hub: Hub, metrics: PilotMetrics, settings: TranslateSettings, told: Sequence[Told] = ()
    ) -> None:
        """`told` is called with each model, after the proxies' push of it was begun."""
        self._hub = hub
        self._metrics = metrics
        self._settings = settings
        self._told = tuple(told)
        self.model: MeshModel | None = None
        self.ports = OutboundPorts()
        self._translator: ModelTranslator | None = None

    async def publish(self, model: MeshModel, changed_at: float) -> None:
        """`changed_at` (seconds, monotonic) is when the first change of this model came in."""
        self.model, self.ports = model, self.ports.extended(model)
        self._measure(model)
        self._translator = ModelTranslator(model, self.ports, self._settings, self._translator)
        await self._hub.publish(self._translator, changed_at)
        for told in self._told:
            await told(model, self.ports)

    def _measure(self, model: MeshModel) -> None:
        self._metrics.services.set(len(model.services))
        self._metrics.virtual_services.set(len(model.virtual_services))
        self._metrics.endpoints.set(sum(len(found) for found in model.endpoints.values()))


async def push_loop(changes: Changes, build: Callable[[], MeshModel], publisher: Publisher) -> None:
    """Runs for life: one publication per batch of changes."""
    while True:
        batch = await changes.next_batch()
        try:
            model = build()
        except Exception as error:  # noqa: BLE001 - the last good model stays in force
            _log.error("model_rejected", reason=repr(error))
            continue
        _log.debug("model_built", services=len(model.services), workloads=len(model.workloads))
        await publisher.publish(model, batch.first)
