"""Looking for a token, and making or destroying one of its keys, in a process of its own (hsm.keymaker)."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from typing import TYPE_CHECKING, Final

from hsm import beginning
from signer.errors import SigningError
from signer.supervisor.lanes import environment, kill

if TYPE_CHECKING:
    from hsm.pin import Pin
    from signer.config import Token
    from signer.supervisor.expected import Expected

#: Generating a key in a slow token takes seconds.
_TIMEOUT_S: Final = 60.0
_MAX_ANSWER: Final = 16_384


async def look(token: Token, expected: Expected) -> None:
    """See that a token is there.

    Args:
        token: which.
        expected: when the process is not to begin or work.

    Raises:
        SigningError: it is not, or its module does not answer.
    """
    await _ask(token, expected, {})


async def perform(token: Token, expected: Expected, pin: Pin, change: dict[str, str]) -> dict[str, str]:
    """Make or destroy a key; return its public point and CKA_ID in hex.

    Args:
        token: where.
        expected: when the process is not to begin or work.
        pin: its PIN; it goes over the process' own socket, never by argument or environment.
        change: `label` and `curve` of a new key, or `label`, `id` and `point` of one to destroy.

    Raises:
        SigningError: the token says no, or did not answer.
    """
    return await _ask(token, expected, {"pin": pin.reveal(), **change})


async def _ask(token: Token, expected: Expected, wanted: dict[str, str]) -> dict[str, str]:
    await expected.quiet()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    with ours:
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "hsm.beginning", "hsm.keymaker", "--fd", str(theirs.fileno())),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                env=environment(token) | beginning.environment(expected.soon()),
            )
        finally:
            theirs.close()
        loop = asyncio.get_running_loop()
        request = json.dumps({"uri": str(token.uri), **wanted})
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await loop.sock_sendall(ours, request.encode())
                answer = json.loads(await loop.sock_recv(ours, _MAX_ANSWER))
        except (OSError, TimeoutError, ValueError):
            raise SigningError("the process that works on the key ended, or did not answer") from None
        finally:
            kill(process)
            await process.wait()
    if not answer.pop("ok"):
        raise SigningError(answer["message"])
    return {name: str(value) for name, value in answer.items()}
