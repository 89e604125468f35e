"""FastAPI's own telemetry, which is on unless it is said to be off.

It shows each request, its body, what validation said of it, and stack traces to whatever OpenTelemetry provider the
environment names (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/). A request to the
control API has a token in its headers. What leaves this process is its metrics, its logs and the audit log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fastapi.telemetry import TelemetryConfig

OFF: Final[TelemetryConfig] = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
