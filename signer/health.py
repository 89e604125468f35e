"""What health says, made from what `signer status` shows. Pure."""

from __future__ import annotations

from typing import Any


def report(status: dict[str, Any]) -> dict[str, Any]:
    """Return whether blocks can be signed and why not, what else needs attention, and each token's last proof."""
    return {
        "ready": status["ready"],
        "obstacles": status["obstacles"],
        "problems": status["problems"],
        "proved_at": {
            name: token["proved_at"]
            for name, token in status["tokens"].items()
            if token["purpose"] == "block"
        },
    }
