"""`/metrics` for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Response

from signer.control import problem
from signer.control.access import Viewer
from signer.control.services import Given
from signer.metrics.metric import CONTENT_TYPE
from signer.metrics.page import render

router = APIRouter(tags=["metrics"], responses=problem.RESPONSES)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def show(_: Viewer, services: Given) -> Response:
    """Return all metrics in Prometheus' text format."""
    return Response(render(await services.supervisor.status()), headers={"content-type": CONTENT_TYPE})
