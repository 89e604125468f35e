"""The nodeos on this host: which of them is which of our nodes, and what it was told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from signer.doctor.facts import NodeosFact
from signer.errors import AttestError
from signer.rotation.attest import attest, config_ini, running
from signer.rotation.evidence import EvidenceKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from signer.config import Config


def nodeos(config: Config, nodes: Sequence[str]) -> list[NodeosFact]:
    """Return the nodeos that list a key of one of `nodes`, and those that this user may not look at.

    Processes with one configuration file are one nodeos and what it was started by.
    """
    found = [fact for pid in running() for fact in _look(config, nodes, pid)]
    hidden = [fact for fact in found if fact.problem]
    return [*{(fact.node, fact.config_ini): fact for fact in found if not fact.problem}.values(), *hidden]


def _look(config: Config, nodes: Sequence[str], pid: int) -> list[NodeosFact]:
    found = []
    try:
        path = config_ini(pid)
        status = path.stat()
        which = f"{status.st_dev}:{status.st_ino}"
        for name in nodes:
            listing = attest(config, name, config_ini=path, pid=pid, by="doctor")
            listed = sum(each.kind is EvidenceKind.FILE for each in listing.evidence)
            if listed:
                findings = tuple((each.rule, each.text, each.remedy) for each in listing.findings)
                found.append(NodeosFact(pid, name, which, listed, len(listing.evidence), findings))
    except AttestError as error:
        return [NodeosFact(pid, "", problem=str(error))]
    except OSError:
        return []  # it ended, or its file is gone: another look finds another one
    return found
