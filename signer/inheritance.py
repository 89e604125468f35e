"""How a process of ours begins: it takes its configuration and sockets from the supervisor that started it."""

from __future__ import annotations

import argparse
import json
import signal
import socket
from typing import NamedTuple

from hsm.hardening import harden
from signer import channel as channels
from signer.config import Config
from signer.logs import configure


class Inheritance(NamedTuple):
    """What the supervisor gave: the configuration, the listening sockets in its order, and the channel's end."""

    config: Config
    sockets: list[socket.socket]
    channel: socket.socket


def end_within(seconds: int) -> None:
    """The supervisor is gone: let the kernel end this process after so many s, whatever hangs in it by then."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(seconds)


def receive(process: str) -> Inheritance | None:
    """Give up what the process does not need, and take what `--channel-fd N` brings first.

    Args:
        process: `signing` or `control`, for the logs.

    Returns:
        what was given, or None if the supervisor is gone.
    """
    parser = argparse.ArgumentParser(prog=f"signer.{process}.process")
    parser.add_argument("--channel-fd", type=int, required=True)
    options = parser.parse_args()
    harden()
    configure(process)
    channel = socket.socket(fileno=options.channel_fd)
    try:
        message, fds = channels.receive_blocking(channel)
    except EOFError:
        return None
    # As JSON, because the models are strict: a Path is a string there and nowhere else.
    config = Config.model_validate_json(json.dumps(message["config"]))
    return Inheritance(config, [socket.socket(fileno=fd) for fd in fds], channel)
