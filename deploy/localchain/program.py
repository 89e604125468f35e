"""One child process with its log, which does not outlive the program that started it."""

from __future__ import annotations

import random
import signal
import socket
import subprocess
from typing import TYPE_CHECKING, ClassVar, Self, TypeVar

from localchain.condition import HANG_S, INTERVAL_S, until
from localchain.errors import LocalChainError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

T = TypeVar("T")

#: Below net.ipv4.ip_local_port_range (32768 to 60999 by default), above the ports of well-known services.
_PORTS = (10000, 32000)
#: Characters of log shown when something fails.
_TAIL = 6000


class Program:
    """A process whose output goes to a file.

    The kernel kills it when the thread that made it ends, so make it in the main thread: whatever happens to this
    program, no nodeos is left behind (setpriv --pdeathsig, prctl(2)). A Ctrl-C is not its own: it is in another
    session, and whoever made it ends it in an order of theirs.

    Args:
        command: program and arguments.
        log: file for stdout and stderr; appended to, so a restart keeps what was said before.
        environment: all of its environment.
        folder: where it runs.
        death_signal: what the kernel sends when the thread that made it ends.
    """

    #: s between two looks of `wait_for`.
    interval_s: ClassVar[float] = INTERVAL_S

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        *,
        environment: Mapping[str, str],
        folder: Path,
        death_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        self.name = str(command[0])
        self.log_file = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", death_signal.name.removeprefix("SIG"), "--", *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=folder,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process id. setpriv replaces itself, so this is the program."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._process.poll()

    def log(self) -> str:
        """Everything it has printed."""
        return self.log_file.read_text(errors="replace")

    def tail(self) -> str:
        """The end of the log, for failure messages."""
        return f"--- {self.log_file.name}\n{self.log()[-_TAIL:]}"

    def wait_for(self, probe: Callable[[], T | None], what: str, *, timeout_s: float = HANG_S) -> T:
        """Return the first truthy answer of `probe`; fail at once when the process ends before.

        Raises:
            LocalChainError: it ended, or the deadline passed; the message shows the log's end.
        """

        def look() -> T | None:
            answer = probe()
            if not answer and self.exit_code is not None:
                raise LocalChainError(
                    f"{self.name} ended with {self.exit_code} before: {what}\n{self.tail()}"
                )
            return answer

        return until(look, what, timeout_s=timeout_s, interval_s=self.interval_s, explain=self.tail)

    def wait_until_up(self, probe: Callable[[], bool], what: str, *, timeout_s: float = HANG_S) -> None:
        """Wait as `wait_for`, and leave no process behind when it fails: its maker has no object to stop."""
        try:
            self.wait_for(probe, what, timeout_s=timeout_s)
        except BaseException:
            Program.stop(self)
            raise

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def stop(self, *, timeout_s: float = 10.0) -> int:
        """End it with SIGTERM, or SIGKILL when that does not help; return the exit code."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                return self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
        return self._process.wait()

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._process.kill()
        self._process.wait()


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listened on a moment ago.

    Not one of the kernel's own choice: those it also gives to connections, of which some callers make many.
    """
    while True:
        port = random.randrange(*_PORTS)  # noqa: S311 - not for security
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
