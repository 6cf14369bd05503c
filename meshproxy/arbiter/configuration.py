"""The newest configuration, as the agent gave it: sealed memfds that nobody here reads.

The full bundle, and the updates made since: together they are what a respawned worker needs, so it serves
at once even if the agent is dead, and what a respawned agent takes up as its last good configuration.
"""

from __future__ import annotations

import os
from typing import NamedTuple


class Blob(NamedTuple):
    """A memfd with resources, and the version they lead to."""

    version: int
    fd: int


class Configuration:
    def __init__(self) -> None:
        self._bundle: Blob | None = None
        self._since: list[Blob] = []

    @property
    def bundle(self) -> Blob | None:
        return self._bundle

    @property
    def updates(self) -> list[Blob]:
        """Newer than the bundle, oldest first."""
        return self._since

    def blobs(self) -> list[Blob]:
        """Bundle and updates: all of it, in order."""
        return ([self._bundle] if self._bundle else []) + self._since

    def replace(self, bundle: Blob) -> None:
        """A full bundle stands for itself and for every update up to its version."""
        if self._bundle is not None:
            os.close(self._bundle.fd)
        self._bundle = bundle
        for old in [update for update in self._since if update.version <= bundle.version]:
            os.close(old.fd)
        self._since = [update for update in self._since if update.version > bundle.version]

    def add(self, update: Blob) -> None:
        self._since.append(update)
