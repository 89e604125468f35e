"""A process of ours, started with a channel: configuration and sockets are its first message."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING, Protocol

from hsm import beginning
from signer import channel as channels

if TYPE_CHECKING:
    import socket
    from asyncio.subprocess import Process
    from collections.abc import Callable

    from signer.channel import Message
    from signer.config import Config
    from signer.supervisor.expected import Expected


class Running(Protocol):
    """What is asked of a process of ours: asyncio's, or one that an earlier image of this process started."""

    @property
    def pid(self) -> int:
        """The process id."""

    @property
    def returncode(self) -> int | None:
        """As subprocess: negative for a signal; None while it runs."""

    def kill(self) -> None:
        """Send SIGKILL."""

    async def wait(self) -> int:
        """Return the exit code once it ended."""


class Adopted:
    """A child that an earlier image of this process started: exec(2) keeps the children.

    Until it was reaped, here, its number belongs to nobody else, so a signal cannot meet a stranger.

    Raises:
        OSError: there is no such child.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = asyncio.Event()
        self._descriptor = os.pidfd_open(pid)
        asyncio.get_running_loop().add_reader(self._descriptor, self._reap)

    def kill(self) -> None:
        """Send SIGKILL."""
        if self.returncode is None:
            os.kill(self.pid, signal.SIGKILL)

    async def wait(self) -> int:
        """Return the exit code once it ended."""
        await self._ended.wait()
        assert self.returncode is not None  # noqa: S101 - _reap set it
        return self.returncode

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)
        _, status = os.waitpid(self.pid, 0)
        self.returncode = os.waitstatus_to_exitcode(status)
        self._ended.set()


async def start(
    module: str,
    config: Config,
    sockets: list[socket.socket],
    on_message: Callable[[Message, list[int]], None],
    on_closed: Callable[[], None],
    *,
    expected: Expected,
) -> tuple[Process, channels.Channel]:
    """Start `python -m MODULE` and send it its configuration and its listening sockets.

    Args:
        module: what is run.
        config: for its first message.
        sockets: which it listens on.
        on_message: takes what it sends.
        on_closed: is called when it has closed the channel.
        expected: when it is not to begin or work.

    Raises:
        OSError: it cannot be started.
    """
    await expected.quiet()
    ours, theirs = channels.pair()
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # no module is found in the folder that we happen to be in
            "-m",
            "hsm.beginning",
            module,
            "--channel-fd",
            str(theirs.fileno()),
            pass_fds=(theirs.fileno(),),
            stdin=asyncio.subprocess.DEVNULL,
            env=os.environ | beginning.environment(expected.soon()),
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    channel = channels.Channel(ours, on_message, on_closed)
    message = {"type": "start", "config": config.model_dump(mode="json")}
    try:
        channel.send(message, [sock.fileno() for sock in sockets])
    except OSError:
        channel.close()  # it ends by that, having heard nothing
        await process.wait()
        raise
    return process, channel
