"""Listening sockets: does somebody listen, and can nobody else get in between. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from signer.doctor.finding import Finding, failure, ok, unknown, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from signer.config import Config, Listener
    from signer.doctor.facts import FileFact, ListenerFact, Site

#: What signer.supervisor.sockets gives a socket.
_MODE: Final = 0o660
_WRITABLE_BY_OTHERS: Final = 0o022


def check(
    config: Config,
    seen: Sequence[ListenerFact],
    owners: Mapping[str, int | None],
    site: Site,
    *,
    running: bool,
) -> Iterator[Finding]:
    """Yield what is known of each listener.

    Args:
        config: the configuration.
        seen: what was found at each address.
        owners: uids of the users that config names as owners; None where this machine has no such user.
        site: whose signer it is.
        running: whether the signer answers.
    """
    facts = {fact.address: fact for fact in seen}
    for listener in config.listeners:
        name = listener.node or listener.kind
        fact = facts.get(listener.address)
        if fact is not None:
            yield _listener(name, listener, fact, owners, site, running=running)


def _listener(
    name: str,
    listener: Listener,
    fact: ListenerFact,
    owners: Mapping[str, int | None],
    site: Site,
    *,
    running: bool,
) -> Finding:
    at = listener.address
    if fact.file is not None and fact.file.kind == "socket":
        wrong = _file(name, listener, fact.file, owners, site)
        if wrong is not None:
            return wrong
    if not running:
        if fact.listens:
            return failure(
                "socket",
                name,
                f"something else than this signer listens on {at}",
                f"find it: ss -lxtnp | grep {at.partition(':')[2]}",
            )
        return unknown("socket", name, f"{at}: nobody listens while the signer is down", "start the signer")
    if fact.listens is None:
        return unknown("socket", name, f"{at}: this user may not connect", "run this as root")
    if not fact.listens:
        return failure(
            "socket",
            name,
            f"nobody listens on {at}, though the signer runs",
            "signer reload; if it stays so, restart the signer between two rounds",
        )
    mode = "" if fact.file is None else f", mode {fact.file.mode:04o}, of {fact.file.owner}"
    return ok("socket", name, f"{listener.kind} {at} listens{mode}")


def _file(
    name: str, listener: Listener, file: FileFact, owners: Mapping[str, int | None], site: Site
) -> Finding | None:
    """What is wrong with the file of a unix socket."""
    expected = owners.get(listener.owner, None) if listener.owner is not None else site.uid
    wanted = listener.owner or site.user
    if expected is not None and file.uid != expected:
        return failure(
            "socket",
            name,
            f"{file.path} belongs to {file.owner}, not to {wanted}: whoever should call may be shut out, and "
            f"{file.owner} gets in",
            f"chown {wanted} {file.path}, or restart the signer, which makes it anew",
        )
    if file.mode & ~_MODE:
        return failure(
            "socket",
            name,
            f"{file.path} has mode {file.mode:04o}: more users may connect than should",
            f"chmod 0660 {file.path}",
        )
    if file.mode != _MODE:
        return warning(
            "socket",
            name,
            f"{file.path} has mode {file.mode:04o}: its group, and perhaps its node, is shut out",
            f"chmod 0660 {file.path}",
        )
    if file.folder_mode & _WRITABLE_BY_OTHERS:
        return failure(
            "socket",
            name,
            f"others may replace the socket in {file.path.parent} (mode {file.folder_mode:04o})",
            f"chmod go-w {file.path.parent}",
        )
    return None
