"""An OpenTelemetry provider as an environment could bring one: it counts who asks it for a tracer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry import trace

if TYPE_CHECKING:
    import pytest


class Provider(trace.TracerProvider):
    """Set with `install`.

    Attributes:
        asked: how often a tracer was asked for.
    """

    def __init__(self) -> None:
        self.asked = 0

    @classmethod
    def install(cls, monkeypatch: pytest.MonkeyPatch) -> Provider:
        """Make one the process's provider until the test ends."""
        made = cls()
        monkeypatch.setattr(trace, "get_tracer_provider", lambda: made)
        return made

    def get_tracer(self, *_: Any, **__: Any) -> trace.Tracer:  # noqa: ANN401 - whatever is asked for
        """Return one that does nothing."""
        self.asked += 1
        return trace.NoOpTracer()
