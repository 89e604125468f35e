"""A process of ours, started with a channel: configuration and sockets are its first message."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from signer import channel as channels

if TYPE_CHECKING:
    import socket
    from asyncio.subprocess import Process
    from collections.abc import Callable

    from signer.channel import Message
    from signer.config import Config


async def start(
    module: str,
    config: Config,
    sockets: list[socket.socket],
    on_message: Callable[[Message, list[int]], None],
    on_closed: Callable[[], None],
) -> tuple[Process, channels.Channel]:
    """Start `python -m MODULE` and send it its configuration and its listening sockets.

    Raises:
        OSError: it cannot be started.
    """
    ours, theirs = channels.pair()
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # no module is found in the folder that we happen to be in
            "-m",
            module,
            "--channel-fd",
            str(theirs.fileno()),
            pass_fds=(theirs.fileno(),),
            stdin=asyncio.subprocess.DEVNULL,
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    channel = channels.Channel(ours, on_message, on_closed)
    message = {"type": "start", "config": config.model_dump(mode="json")}
    channel.send(message, [sock.fileno() for sock in sockets])
    return process, channel
