"""`signer audit reconcile`: are the blocks of our producer those that this signer signed?"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from signer import config_file
from signer.chain.client import UNKNOWN_BLOCK, ChainClient
from signer.commands.chain import chosen
from signer.commands.exit_code import ExitCode
from signer.control import reconciliation
from signer.control.reconciliation import Author
from signer.errors import ChainError, ChainRefusedError, ConfigError, FormatError
from signer.signing import ledger

if TYPE_CHECKING:
    import argparse
    from datetime import datetime

    from signer.chain.values import Block, Schedule
    from signer.config import Config
    from signer.control.reconciliation import Reconciliation

_MS_PER_S: Final = 1000
#: Blocks of an hour.
_PER_HOUR: Final = 7200
#: Blocks that are asked for at once.
_AT_ONCE: Final = 16
#: The block after the genesis block, which has no producer.
_FIRST: Final = 2
_BEFORE: Final = timedelta(minutes=10)
#: Lines of each kind that are printed; --json has all.
_SHOWN: Final = 20


class _Seen(NamedTuple):
    """Irreversible blocks: how many were read, those of ours, and the keys of ours in each schedule in sight."""

    first: Block
    last: Block
    ours: list[Block]
    authorities: dict[int, tuple[str, ...]]


def reconcile(arguments: argparse.Namespace) -> int:
    """Compare the log with the chain, both ways."""
    path = config_file.find(arguments.config)
    config = config_file.load(path)
    chain = chosen(config, arguments.chain, path)
    if not config.chains[chain].api or config.chains[chain].producer is None:
        raise ConfigError(f"{path}: chains.{chain} needs a producer and an api for this")
    seen = asyncio.run(_look(config, chain, arguments))
    since = seen.first.time - _BEFORE
    signed = ledger.read(config.audit_log, since)
    nodes = {name for name, node in config.nodes.items() if node.chain == chain}
    own = {
        str(key.public_key) for key in config.keys if key.role == "block" and config.chain_of(key) == chain
    }
    own |= {each.key for each in signed.issued.values() if each.node in nodes}
    found = reconciliation.compare(
        [(block, seen.authorities.get(block.schedule_version)) for block in seen.ours],
        signed,
        own,
        seen.first.time,
        seen.last.time,
    )
    answer = _answer(chain, str(config.chains[chain].producer), seen, found, signed.begins)
    if arguments.json:
        print(json.dumps(answer, indent=2))
    else:
        print("\n".join(_lines(answer)))
    return ExitCode.FINDINGS if found.of(Author.CLONE) else ExitCode.OK


async def _look(config: Config, chain: str, arguments: argparse.Namespace) -> _Seen:
    settings = config.chains[chain]
    timeout_s = settings.api_timeout_ms / _MS_PER_S
    async with ChainClient(chain, settings.id, settings.api, timeout_s=timeout_s) as client:
        info, schedules = await client.info(), await client.schedules()
        last = info.irreversible.number
        first = arguments.first or last - int(arguments.hours * _PER_HOUR) + 1
        first = max(_FIRST, first)
        if first > last:
            raise FormatError(
                f"block {first} is not irreversible yet; the last one that is has number {last}"
            )
        blocks: list[Block] = []
        outer: Block | None = None
        for start in range(first, last + 1, _AT_ONCE):
            numbers = range(start, min(last + 1, start + _AT_ONCE))
            try:
                batch = await asyncio.gather(*(client.block(number) for number in numbers))
            except ChainRefusedError as error:
                if error.code != UNKNOWN_BLOCK:
                    raise
                raise ChainError(
                    f"no API node has block {start} any more; name a later one with --from, or an API node "
                    "with the whole chain"
                ) from None
            outer = outer or batch[0]
            blocks += [block for block in batch if block.producer == settings.producer]
            if sys.stderr.isatty():
                print(f"\rblock {numbers[-1]} of {last}", end="", file=sys.stderr)
        if sys.stderr.isatty():
            print(file=sys.stderr)
        assert outer is not None  # noqa: S101 - first <= last
        authorities = {
            each.version: _keys(each, str(settings.producer))
            for each in (schedules.pending, schedules.active)
            if each is not None
        }
        return _Seen(outer, batch[-1], blocks, authorities)


def _keys(schedule: Schedule, producer: str) -> tuple[str, ...]:
    return tuple(
        key
        for each in schedule.producers
        if each.name == producer
        for key in (*map(str, each.keys), *each.other_keys)
    )


def _answer(
    chain: str, producer: str, seen: _Seen, found: Reconciliation, begins: datetime | None
) -> dict[str, Any]:
    def listed(author: Author) -> list[dict[str, Any]]:
        return [
            {
                "block_num": each.block.number,
                "time": each.block.time.isoformat(),
                "signature": each.block.producer_signature,
                "keys": list(each.keys),
                "reason": each.reason,
            }
            for each in found.of(author)
        ]

    return {
        "chain": chain,
        "producer": producer,
        "from_block": seen.first.number,
        "to_block": seen.last.number,
        "log_begins": None if begins is None else begins.isoformat(),
        "signed": len(found.of(Author.OURS)),
        "lost": found.lost,
        "foreign": len(found.of(Author.FOREIGN)),
        "unclear": listed(Author.UNCLEAR),
        "clones": listed(Author.CLONE),
    }


def _lines(answer: dict[str, Any]) -> list[str]:
    blocks = f"irreversible blocks {answer['from_block']} to {answer['to_block']}"
    lines = [
        f"chain {answer['chain']}, producer {answer['producer']}: {blocks}",
        f"signed here and on the chain       {answer['signed']}",
        f"signed here and in no block        {len(answer['lost'])}",
        f"by keys of other signers           {answer['foreign']}",
        f"by nobody knows whom               {len(answer['unclear'])}",
        f"by keys of ours, never signed here {len(answer['clones'])}",
    ]
    lines += [_line("unclear", each) for each in answer["unclear"][:_SHOWN]]
    lines += [_line("CLONE", each) for each in answer["clones"][:_SHOWN]]
    if answer["clones"]:
        lines.append("Somebody has the key. Register another one now: runbook, 'Alarm: clone'.")
    return lines


def _line(word: str, each: dict[str, Any]) -> str:
    why = f": {each['reason']}" if each["reason"] else ""
    keys = " or ".join(each["keys"]) or "an unknown key"
    return f"{word}: block {each['block_num']} at {each['time']} by {keys}{why}"
