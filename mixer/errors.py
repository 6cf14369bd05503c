"""Everything Mixer raises on purpose."""

from __future__ import annotations


class MixerError(Exception):
    """Base of Mixer's own errors."""


class InvalidReport(MixerError):
    """A proxy sent what cannot be a report. Its stream ends; what was taken in before stays."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field, self.reason = field, reason
