"""What the control API says, one question after the other; each may be refused without harm to the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from signer.control_client import ControlClient
from signer.doctor.facts import Told
from signer.errors import ConfigError, ControlRefusedError, ControlUnreachableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from signer.config import Config

NODES: Final = "/v1/nodes"
RINGS: Final = "/v1/rings"


def permission(chain: str) -> str:
    """Return the path of a chain's permission."""
    return f"/v1/permissions/{quote(chain, safe='')}"


def told(
    config: Config, path: Path, token_file: str | None, chains: Sequence[str], *, down: str = ""
) -> Told:
    """Ask what only the control process knows: evidence, rings, permissions.

    Args:
        config: the configuration.
        path: its file.
        token_file: a file with an access token, if one was named.
        chains: those whose permission is asked for.
        down: why there is no control process; then nobody is asked, since its sockets take connections all the same.
    """
    paths = [NODES, RINGS, *(permission(chain) for chain in chains)]
    if down:
        return Told({}, dict.fromkeys(paths, down))
    try:
        client = ControlClient.of(config, path, token_file)
    except (ConfigError, PermissionError) as error:
        return Told({}, dict.fromkeys(paths, _words(error)))
    answers: dict[str, dict[str, Any]] = {}
    problems: dict[str, str] = {}
    with client:
        for each in paths:
            try:
                answers[each] = client.get(each)
            except ControlUnreachableError as error:
                return Told(
                    answers, problems | {path: _words(error) for path in paths if path not in answers}
                )
            except (ControlRefusedError, PermissionError) as error:
                problems[each] = _words(error)
    return Told(answers, problems)


def _words(error: Exception) -> str:
    if isinstance(error, PermissionError):
        return f"{error.filename}: {error.strerror}"
    return str(error).splitlines()[0]
