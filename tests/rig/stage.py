"""A chain, and producers of ours on it whose signers quickstart made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rig.api_proxy import ApiProxy
from rig.kill_points import KillPoints
from rig.member import Member
from rig.own_producer import OwnProducer
from rig.rotating_signer import RotatingSigner
from rig.trial import Trial

if TYPE_CHECKING:
    from pathlib import Path

    from rig.chain import Chain
    from rig.scenes import Scenes
    from rig.tools import Tools


#: ms.
_API_TIMEOUT_MS = 20_000


@dataclass
class Stage:
    """A chain, and what is needed to put producers of ours on it.

    Attributes:
        tools: the real programs.
        folder: for everything.
        chain: the chain.
        scenes: what plays on it.
        members: all that were made, to be stopped in the end.
        proxies: the same.
    """

    tools: Tools
    folder: Path
    chain: Chain
    scenes: Scenes
    members: list[Member] = field(default_factory=list)
    proxies: list[ApiProxy] = field(default_factory=list)

    def member(
        self,
        name: str,
        urls: list[str],
        *,
        producer: OwnProducer | None = None,
        ring: int = 2,
        others: list[str] | None = None,
        place: str = "",
        allow: bool = True,
        killed: bool = False,
        patient: bool = True,
    ) -> Member:
        """Make a producer and a signer that knows it, and let the owner give the permission to it.

        Args:
            name: the account.
            urls: the API nodes that the signer asks.
            producer: the account if it is there already.
            ring: R1 keys of each node.
            others: rotation keys of other signers of the account.
            place: what its folders begin with, by default the account's name.
            allow: whether the owner runs what quickstart says.
            killed: whether its control process can be killed at writes of the journal.
            patient: whether it waits longer than two seconds for an API node: a slow machine with twenty processes
                on it needs that now and then, and a preflight that hears nothing refuses.
        """
        place = place or name
        producer = producer or OwnProducer(self.tools, self.chain, name)
        signer = RotatingSigner(Trial(self.folder / place), name)
        kills = KillPoints(self.folder / f"{place}-kills")
        member = Member(place, producer, signer, kills)
        self.members.append(member)
        signer.quickstart(urls, ring=ring, others=others or [])
        if allow:
            signer.allow(self.chain, self.chain.cleos)
        if patient:
            signer.configure({"[chains.local]\n": f"[chains.local]\napi_timeout_ms = {_API_TIMEOUT_MS}\n"})
        if killed:
            signer.serve_with(kills.environment)
        return member

    def proxy(self) -> ApiProxy:
        """Return a proxy in front of the boot node's API."""
        made = ApiProxy(self.chain.boot.url)
        self.proxies.append(made)
        return made

    def stop(self) -> None:
        """Stop every signer and every proxy."""
        for member in self.members:
            member.signer.stop()
        for proxy in self.proxies:
            proxy.stop()
