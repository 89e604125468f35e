"""Gathers what preflight judges: from the chain, the nodes, the tokens and the journal. Judges nothing itself."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from signer.antelope.name import Name
from signer.antelope.transaction import ActFinKey, PermissionLevel, RegProducer, Transaction, push_body, tapos
from signer.chain.values import Consensus
from signer.errors import AdminError, ChainError, FormatError
from signer.rotation import evidence, mandate, permission, ring
from signer.rotation.finding import Finding, Level
from signer.rotation.preflight import PreflightFacts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from signer.antelope.keys import PublicKey
    from signer.antelope.transaction import Action
    from signer.chain.values import (
        Account,
        DryRun,
        FinalizerInfo,
        FinalizerKeys,
        Info,
        ProducerAnswer,
        ProducerRow,
        Schedules,
    )
    from signer.rotation.evidence import Evidence
    from signer.rotation.permission import Check
    from signer.rotation.rotation import Request
    from signer.rotation.site import Site

_ACTIVE = "active"


@dataclass(frozen=True, slots=True)
class _Base:
    """What a transaction is built on."""

    info: Info
    row: ProducerRow
    finalizers: FinalizerInfo | None
    finalizer_keys: FinalizerKeys | None


class Inspector:
    """Looks at everything that a rotation of one chain could meet."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def look(self, request: Request, to_key: PublicKey) -> PreflightFacts:
        """Gather all facts. What cannot be known is a fact too: this raises only JournalError."""
        site = self._site
        asked = asyncio.gather(self._chain(), self._probe(to_key), self._node(request.node), self._states())
        (
            (problem, info, rows, schedules, account, finalizers, finalizer_keys),
            probe,
            node,
            states,
        ) = await asked
        rotation_keys = tuple(key for key in site.rotation_keys if states.get(key) == _ACTIVE)
        row = _believed(rows, info)
        base = _Base(info, row, finalizers, finalizer_keys) if info is not None and row is not None else None
        return PreflightFacts(
            request=request,
            now=site.clock(),
            config=site.config,
            to_key=to_key,
            probe=probe,
            chain_problem=problem,
            info=info,
            rows=tuple(rows),
            schedules=schedules,
            account=account,
            checks=await self._checks(account),
            dry_run=await self._dry_run(request, to_key, base),
            finalizers=finalizers,
            finalizer_keys=finalizer_keys,
            rotation_keys=rotation_keys,
            node_info=node[0],
            node_problem=node[1],
            evidence=self._evidence(request.node, to_key),
            ring=ring.level(
                site.config,
                request.node,
                site.journal.uses(site.name),
                states,
                current=row.keys[0].key if row is not None and len(row.keys) == 1 else None,
            ),
        )

    async def signer(self) -> PublicKey | None:
        """Return the rotation key that signs: active, and enough for the permission by itself.

        Raises:
            ChainError: the account cannot be read.
        """
        account, states = await asyncio.gather(self._site.client.account(self._site.producer), self._states())
        usable = [key for key in self._site.rotation_keys if states.get(key) == _ACTIVE]
        if account is None:
            return None
        return next(iter(permission.signers(account, self._site.chain, usable)), None)

    async def build(self, key: PublicKey, node: str) -> tuple[Transaction, Info]:
        """Build the transaction that registers `key` of `node`, on the chain as it is now.

        Raises:
            ChainError: the chain does not tell what is needed.
            FormatError: what the row says cannot be sent back.
        """
        site = self._site
        info, row = await asyncio.gather(site.client.info(), site.client.producer(site.producer))
        if row is None:
            raise FormatError(f"{site.producer} is not registered as a producer")
        return self._transaction(key, node, _Base(info, row, *await self._finalizers(info))), info

    async def permission(self) -> tuple[Finding, ...] | None:
        """Return what is wrong with the rotation permission, None if no API node tells. Raises nothing."""
        try:
            account = await self._site.client.account(self._site.producer)
        except ChainError:
            return None
        return tuple(
            Finding(each.name, Level.WARNING, each.text, each.remedy)
            for each in await self._checks(account)
            if each.verdict in (permission.Verdict.FAILURE, permission.Verdict.WARNING)
        )

    # -- the transaction -----------------------------------------------------------------------------------

    def _transaction(self, key: PublicKey, node: str, base: _Base) -> Transaction:
        site = self._site
        level = PermissionLevel(site.producer, Name(site.chain.rotation_permission))
        actions: list[Action] = [RegProducer(site.producer, key, base.row.url, base.row.location)]
        finalizer_key = site.config.nodes[node].finalizer_key
        if finalizer_key is not None and base.finalizers is not None and base.finalizer_keys is not None:
            # A key without regfinkey would fail the block key's half too: preflight has said so.
            registered = finalizer_key in base.finalizer_keys.keys
            if registered and finalizer_key not in base.finalizers.active_keys(site.producer):
                actions.append(ActFinKey(site.producer, finalizer_key))
        number, prefix = tapos(base.info.irreversible.id)
        # The chain takes at most an hour; a minute is enough to be in a block, and to know that it is in none.
        expiration = base.info.head.time.replace(microsecond=0) + timedelta(seconds=mandate.MAX_LIFETIME_S)
        return Transaction(expiration, number, prefix, tuple((action, level) for action in actions))

    async def _dry_run(self, request: Request, key: PublicKey, base: _Base | None) -> DryRun | None:
        if base is None:
            return None
        try:
            transaction = self._transaction(key, request.node, base)
            return await self._site.client.dry_run(push_body(transaction.pack(), []))
        except (ChainError, FormatError):
            return None

    async def transaction_json(self, request: Request, key: PublicKey) -> dict[str, Any] | None:
        """Return the unsigned transaction as nodeos shows it, None if it cannot be built. Raises nothing."""
        try:
            transaction, _ = await self.build(key, request.node)
        except (ChainError, FormatError):
            return None
        return transaction.to_json()

    # -- the chain -----------------------------------------------------------------------------------------

    async def _chain(
        self,
    ) -> tuple[
        str,
        Info | None,
        Sequence[ProducerAnswer],
        Schedules | None,
        Account | None,
        FinalizerInfo | None,
        FinalizerKeys | None,
    ]:
        site = self._site
        try:
            info = await site.client.info()
            rows, schedules, account, (finalizers, finalizer_keys) = await asyncio.gather(
                site.client.producer_everywhere(site.producer),
                site.client.schedules(),
                site.client.account(site.producer),
                self._finalizers(info),
            )
        except ChainError as error:
            return str(error), None, (), None, None, None, None
        return "", info, rows, schedules, account, finalizers, finalizer_keys

    async def _finalizers(self, info: Info) -> tuple[FinalizerInfo | None, FinalizerKeys | None]:
        """Return who votes, and the keys that our producer has registered; None on a legacy chain."""
        if info.consensus is Consensus.LEGACY:
            return None, None
        client = self._site.client
        return await asyncio.gather(client.finalizers(), client.finalizer_keys(self._site.producer))

    async def _checks(self, account: Account | None) -> tuple[Check, ...]:
        site = self._site
        block_keys = {
            key.public_key: key.node
            for key in site.config.keys
            if key.role == "block" and key.node is not None
        }
        authorized = None
        with contextlib.suppress(ChainError):
            authorized = await site.client.authorizers([*site.rotation_keys, *block_keys])
        return tuple(
            permission.verify(
                account, authorized, chain=site.chain, own=site.rotation_keys, block_keys=block_keys
            )
        )

    # -- the nodes and the signer --------------------------------------------------------------------------

    async def _probe(self, key: PublicKey) -> str:
        return await self._site.desk.probe(key)

    async def _states(self) -> dict[PublicKey, str]:
        try:
            return await self._site.desk.key_states()
        except AdminError:
            return {}

    async def _node(self, node: str) -> tuple[Info | None, str]:
        client = self._site.nodes.get(node)
        if client is None:
            return None, ""
        try:
            return await client.info(), ""
        except ChainError as error:
            return None, str(error)

    def _evidence(self, node: str, key: PublicKey) -> Evidence | None:
        site = self._site
        now = site.clock()
        max_age = timedelta(hours=site.config.rotation.evidence_max_age_h)
        known = [*site.journal.evidence(), *evidence.declared(site.config, node, now)]
        return evidence.strongest(known, node, key, now=now, max_age=max_age)


def _believed(rows: Sequence[ProducerAnswer], info: Info | None) -> ProducerRow | None:
    """Return the row as the API node has it that was believed, else as the first that has one."""
    there = [each for each in rows if each.row is not None]
    there.sort(key=lambda each: info is None or each.api != info.api)
    return there[0].row if there else None
