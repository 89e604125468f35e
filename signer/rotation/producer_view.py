"""What is known of a producer at one moment, for the person who asks who signs. Values only.

Everything that only the chain knows may be missing: who asks in the night asks because something is dead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from signer.antelope.keys import PublicKey
    from signer.rotation.finding import Finding
    from signer.rotation.rotation import Rotation


@dataclass(frozen=True, slots=True)
class ApiNode:
    """One API node of the chain.

    Attributes:
        url: its address.
        usable: whether it is believed.
        reason: why it is not believed, or what is odd about it; empty if all is well.
        head_number: its head block, None if it gave no answer.
        head_time: that block's timestamp (UTC).
    """

    url: str
    usable: bool
    reason: str
    head_number: int | None
    head_time: datetime | None


@dataclass(frozen=True, slots=True)
class ChainView:
    """What the chain says of a producer.

    Attributes:
        consensus: `legacy` or `savanna`.
        head_number: the head block.
        head_time: its timestamp (UTC).
        irreversible_number: the last irreversible block.
        registered: whether the row is active (`is_active`); None if there is no row.
        row_keys: the keys that the row names.
        active: our producer's keys in the active schedule; empty: it is not in it.
        pending: the same for the pending schedule; None if there is no pending schedule.
        proposed: the same for the proposed schedule; None if none is proposed or nobody shows it.
    """

    consensus: str
    head_number: int
    head_time: datetime
    irreversible_number: int
    registered: bool | None
    row_keys: tuple[PublicKey, ...]
    active: tuple[PublicKey, ...]
    pending: tuple[PublicKey, ...] | None
    proposed: tuple[PublicKey, ...] | None


@dataclass(frozen=True, slots=True)
class ProducerView:
    """A producer.

    Attributes:
        chain: the chain's name in the configuration.
        producer: the account.
        permission: the permission that the rotation keys have.
        chain_view: what the chain says; None if no API node tells.
        problem: why it is None; empty if it is not.
        apis: the chain's API nodes.
        findings: what is wrong with the permission; None if no API node tells.
        rotation: the live rotation.
        last: the rotation that ended last.
    """

    chain: str
    producer: str
    permission: str
    chain_view: ChainView | None
    problem: str
    apis: tuple[ApiNode, ...]
    findings: tuple[Finding, ...] | None
    rotation: Rotation | None
    last: Rotation | None
