"""What one image of the supervisor leaves to the next: `signer upgrade` replaces the program and keeps the process.

The image that goes writes an estate and calls exec(2). Process id, children and the descriptors named in the estate
stay. The environment names one descriptor, of a file in memory that has the estate. PINs that a person typed are not
in it: they wait in a socket, because a process of the same user could open a file or pipe of ours in /proc.

"""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ValidationError

from signer.config import Config
from signer.errors import ConfigError
from signer.signing.pace import Pace
from signer.supervisor.generation import GenerationRemains
from signer.supervisor.wallet import WalletRemains

if TYPE_CHECKING:
    from collections.abc import MutableMapping

#: The environment variable. It has the descriptor's number.
VARIABLE: Final = "SIGNER_ESTATE"
#: Of the estate. Raised whenever an older image would misread it, or a newer one an older estate.
FORMAT: Final = 2
#: PINs have 256 bytes at most (hsm.pin), and a packet some hundred of them.
_MAX_PINS: Final = 100_000


class Estate(BaseModel, frozen=True, extra="forbid"):
    """What the next image needs.

    Attributes:
        format: see FORMAT.
        version: of the image that goes.
        rehearsal: nothing is handed over; the next image only says whether it could take it.
        attempt: counts the upgrades that were asked for.
        by: who asked.
        config: what is in service.
        lock: descriptor of the state folder's lock.
        sockets: descriptors of the listening sockets, by address.
        pins: descriptor of a socket with the typed PINs, -1 if there are none.
        generation: the signing process, None where there is none.
        number: of the last generation.
        started: of the first image, s since 1970.
        restarts: how often the signing process was replaced.
        next_lane: the next lane's number.
        wallet: its clocks and counts.
        paces: of each node's requests, by the monotonic clock (signer.supervisor.expected).
        given: signatures of the last seconds, for the guards (signer.supervisor.leases).
    """

    format: int
    version: str
    rehearsal: bool
    attempt: int
    by: str
    config: Config
    lock: int
    sockets: dict[str, int]
    pins: int
    generation: GenerationRemains | None
    number: int
    started: float
    restarts: int
    next_lane: int
    wallet: WalletRemains
    paces: dict[str, Pace]
    given: dict[str, list[tuple[str, int]]]

    def write(self) -> int:
        """Return the descriptor of a file in memory that has this."""
        descriptor = os.memfd_create("signer-estate")
        with os.fdopen(os.dup(descriptor), "w", encoding="utf-8") as file:
            file.write(self.model_dump_json())
        return descriptor

    @property
    def descriptors(self) -> list[int]:
        """Every descriptor that has to stay open."""
        pins = [self.pins] if self.pins >= 0 else []
        channel = [self.generation.channel] if self.generation is not None else []
        return [self.lock, *self.sockets.values(), *pins, *channel]


def receive(environment: MutableMapping[str, str]) -> Estate | None:
    """Return what an earlier image of this process left, None if there was none.

    The variable goes from `environment`, and no descriptor is inherited by children from here on.

    Raises:
        ConfigError: it is of another kind than this image understands.
    """
    text = environment.pop(VARIABLE, None)
    if text is None:
        return None
    try:
        with os.fdopen(int(text), encoding="utf-8") as file:
            file.seek(0)
            content = file.read()
        form = json.loads(content).get("format")
        if form != FORMAT:
            raise ConfigError(
                f"the running signer hands over in the form {form}, and this version takes form {FORMAT}; "
                "stop the signer and start it instead"
            )
        estate = Estate.model_validate_json(content)
    except (OSError, ValueError, AttributeError) as error:
        what = _places(error) if isinstance(error, ValidationError) else type(error).__name__
        raise ConfigError(
            f"what the running signer hands over cannot be read by this version ({what}); "
            "stop the signer and start it instead"
        ) from None
    if not estate.rehearsal:
        for descriptor in estate.descriptors:
            os.set_inheritable(descriptor, False)
    return estate


def seal_pins(pins: dict[str, str]) -> int:
    """Return the descriptor of a socket from which `unseal_pins` reads PINs by token; -1 without any."""
    if not pins:
        return -1
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        ours.send(json.dumps(pins).encode())
    return theirs.detach()


def unseal_pins(descriptor: int) -> dict[str, str]:
    """Return the PINs by token, and close the socket."""
    if descriptor < 0:
        return {}
    with socket.socket(fileno=descriptor) as sock:
        pins: dict[str, str] = json.loads(sock.recv(_MAX_PINS))
    return pins


def _places(error: ValidationError) -> str:
    """Name the fields and never their content."""
    return ", ".join(".".join(map(str, each["loc"])) + ": " + each["msg"] for each in error.errors()[:3])
