"""PIN sources: readable by the signer, by nobody else, and not there for everyone to replace. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from signer.doctor.finding import Finding, failure, ok, unknown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from signer.config import Config
    from signer.doctor.facts import FileFact, Site

#: hsm.pin reads no others.
_MODES: Final = frozenset({0o400, 0o600})
_WRITABLE_BY_OTHERS: Final = 0o022
#: A folder with this bit lets nobody replace another's file (stat(2), S_ISVTX).
_STICKY: Final = 0o1000


def check(config: Config, files: Mapping[str, FileFact], site: Site) -> Iterator[Finding]:
    """Yield what is known of each token's PIN source. `files` has the PIN file of each token that has one."""
    for name, token in config.tokens.items():
        if token.pin_file is not None:
            yield _file(name, files[name], site)
        elif token.pin_credential is not None:
            yield ok("pin", name, f"systemd credential {token.pin_credential}, which systemd alone can read")
        else:
            yield ok("pin", name, "a person types it after each start; no PIN is on a disk")


def _file(name: str, fact: FileFact, site: Site) -> Finding:
    path = fact.path
    if fact.problem:
        return failure(
            "pin",
            name,
            f"{path}: {fact.problem}; no lane can log in again",
            f"put the PIN there with mode 0400, owned by {site.user or 'the signer'}; runbook, PIN refused",
        )
    return _open_to_others(name, fact) or _owned(name, fact, site)


def _open_to_others(name: str, fact: FileFact) -> Finding | None:
    path = fact.path
    if fact.kind != "file":
        return failure(
            "pin", name, f"{path} is a {fact.kind}, so it is not read", "put the PIN file itself there"
        )
    if fact.mode not in _MODES:
        return failure(
            "pin",
            name,
            f"{path} has mode {fact.mode:04o}: others may read the PIN, and the signer does not; open sessions sign "
            "on, no lane can log in again",
            f"chmod 0400 {path}",
        )
    if fact.folder_mode & _WRITABLE_BY_OTHERS and not fact.folder_mode & _STICKY:
        return failure("pin", name, f"others may replace files in {path.parent}", f"chmod go-w {path.parent}")
    return None


def _owned(name: str, fact: FileFact, site: Site) -> Finding:
    path = fact.path
    if site.uid is None:
        return unknown("pin", name, f"{path}, mode {fact.mode:04o}, of {fact.owner}", "start the signer")
    if fact.uid != site.uid:
        return failure(
            "pin",
            name,
            f"{path} belongs to {fact.owner}, and the signer runs as {site.user}: it cannot read it; open sessions "
            "sign on, no lane can log in again",
            f"chown {site.user} {path}",
        )
    return ok("pin", name, f"{path}, mode {fact.mode:04o}, of {fact.owner}")
