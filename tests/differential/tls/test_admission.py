"""The same clients are let in as by the real Envoy, and refusals are counted by the same names."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.differential.tls.admission import Pki, Setting, settings
from tests.differential.tls.listeners import ask, client, downstream, listener
from tests.support.bootstrap import static
from tests.support.proxies import Proxy, side_by_side

PKI = Pki()
SETTINGS = settings(PKI)
# Where we mean to differ, always by refusing: clients, and why. By setting, where it is not every one.
NO_AUTHORITIES = "authority"  # who may sign others is no peer: a stolen key of one would be anybody
STRICTER = {
    "required_only": {"none"},  # a certificate that is required must be there
}


@pytest.fixture(scope="module")
def proxies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Proxy, Proxy]]:
    folder = tmp_path_factory.mktemp("admission")
    listeners = [listener(setting.name, socket(setting)) for setting in SETTINGS]
    for made, setting in zip(listeners, SETTINGS, strict=True):
        made["stat_prefix"] = setting.name
    bootstrap = static(listeners, [])
    with side_by_side(bootstrap, folder) as [ours, envoy]:
        yield ours, envoy


def socket(setting: Setting) -> dict[str, object]:
    common = {} if setting.validation is None else {"validation_context": dict(setting.validation)}
    return downstream(PKI.server, common=common, require_client_certificate=setting.required)


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ssl.SSLContext]:
    folder = tmp_path_factory.mktemp("clients")
    return {name: client(folder / name, identity) for name, identity in PKI.clients.items()}


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_the_same_clients_are_let_in(
    setting: Setting, proxies: tuple[Proxy, Proxy], clients: dict[str, ssl.SSLContext]
) -> None:
    ours, envoy = (_inside(proxy.port(setting.name), clients) for proxy in proxies)
    differs = {name for name, inside in ours.items() if inside != envoy[name]}
    assert differs - {NO_AUTHORITIES} == STRICTER.get(setting.name, set())
    assert not any(ours[name] for name in differs)


def _inside(port: int, clients: dict[str, ssl.SSLContext]) -> dict[str, bool]:
    with ThreadPoolExecutor(8) as pool:
        asked = pool.map(lambda context: ask(port, context)[0].inside, clients.values())
        return dict(zip(clients, asked, strict=True))
