"""What several comparisons with Envoy stand on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.hostile.upstream import Upstream


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    """The judging upstream, behind both proxies."""
    with Upstream() as one:
        yield one
