"""The control listeners' own part of HTTP, over real sockets."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING

import httpx
import uvloop
from rig.condition import HANG_S

from signer.config import Config, Limits, Listener, TcpAddress
from signer.control import server

if TYPE_CHECKING:
    import pytest
    from rig.control_site import Site

#: To close with it resets the connection (socket(7), SO_LINGER).
_AT_ONCE = struct.pack("ii", 1, 0)


def test_clients_that_are_gone_before_they_are_accepted_leave_nothing(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """No line in the log and no open connection; the next one is served."""

    async def run() -> None:
        sock = socket.create_server(("127.0.0.1", 0))
        address = sock.getsockname()
        listener = Listener.model_construct(kind="control", tcp=TcpAddress(*address))
        http = server.build(Config.model_construct(listeners=(listener,), limits=Limits()), site.app)
        task = asyncio.create_task(http.serve(sockets=[sock]))
        try:
            async with asyncio.timeout(HANG_S), httpx.AsyncClient() as client:
                while not http.started:  # noqa: ASYNC110 - uvicorn tells nobody
                    await asyncio.sleep(0.01)
                for _ in range(10):  # while the event loop does this, it accepts nobody
                    with socket.create_connection(address) as gone:
                        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
                answer = await client.get(f"http://127.0.0.1:{address[1]}/v1/health/live")
            assert answer.status_code == 200
        finally:
            http.end()
            await asyncio.wait_for(task, HANG_S)
        assert http.unanswered == 0

    uvloop.run(run())

    assert [record.getMessage() for record in caplog.records if record.levelname != "INFO"] == []
