"""Tokens as their modules show them without a PIN, each in a process of its own: a module may crash or hang."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from signer.doctor.facts import TokenFact
from signer.supervisor.lanes import environment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from signer.config import Config, Token

#: A module over a network may take seconds to list its slots.
_LOOK_S: Final = 10.0


def tokens(config: Config, names: Iterable[str], uid: int | None) -> dict[str, TokenFact]:
    """Return what is seen of the tokens of these names.

    Args:
        config: the configuration.
        names: which ones.
        uid: the signer's user, who looks if this is root: a module is not loaded by root for nothing.
    """
    wanted = list(names)
    if not wanted:
        return {}
    with ThreadPoolExecutor(len(wanted)) as pool:
        return dict(zip(wanted, pool.map(lambda name: _token(config.tokens[name], uid), wanted), strict=True))


def _token(token: Token, uid: int | None) -> TokenFact:
    try:
        done = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-P", "-m", "hsm", "show", "--json", "--uri", token.uri],
            env=environment(token),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_LOOK_S,
            cwd="/",
            **_as_user(uid),
        )
    except subprocess.TimeoutExpired:
        return TokenFact("", (), f"its module did not answer within {_LOOK_S:g} s")
    except OSError as error:
        return TokenFact("", (), f"its module cannot be asked: {error.strerror}")
    try:
        found = json.loads(done.stdout)
        return TokenFact(found["module"], tuple(found["flags"]), found["problem"])
    except (ValueError, KeyError, TypeError):
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        return TokenFact("", (), last[0].removeprefix("signer-hsm: "))


def _as_user(uid: int | None) -> dict[str, Any]:
    if uid is None or os.geteuid() != 0 or uid == 0:
        return {}
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return {"user": uid, "group": uid, "extra_groups": []}
    return {"user": uid, "group": user.pw_gid, "extra_groups": os.getgrouplist(user.pw_name, user.pw_gid)}
