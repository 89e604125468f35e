"""Whose signature a block has, and of what nobody may be accused; and what the log says was signed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from rig.memory_token import PrivateKey

from signer.antelope.keys import Curve, Digest
from signer.antelope.name import Name
from signer.chain.values import SAVANNA_SCHEDULE_VERSION, Block
from signer.control.reconciler import Reconciler
from signer.control.reconciliation import Author, Comparison, compare, possible_keys
from signer.errors import AdminError
from signer.signing.audit import Act, Decision, Entry, Gap, timestamp
from signer.signing.audit_writer import AuditWriter
from signer.signing.ledger import LOST_AT_A_KILL, Ledger, read

if TYPE_CHECKING:
    from pathlib import Path

NOON = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
OURS, SPARE, THEIRS, K1 = (PrivateKey(curve) for curve in (Curve.R1, Curve.R1, Curve.R1, Curve.K1))
OWN = {str(OURS.public), str(SPARE.public)}


def moment(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def block(number: int, key: PrivateKey = OURS, *, savanna: bool = False) -> Block:
    """Return block `number`, of second `number`, signed by `key`."""
    name = f"{number % 2**32:08x}" + "ab" * 28
    signature = str(key.signature(Digest(bytes.fromhex(name))))
    version = SAVANNA_SCHEDULE_VERSION if savanna else 1
    return Block(number, name, moment(number), Name("bp"), signature, version, "00" * 32)


def signed(of: Block, key: PrivateKey = OURS) -> Decision:
    """Return the decision that gave the signature of a block."""
    at = timestamp(of.time - timedelta(seconds=0.2))
    return Decision(
        at, "signed", "uid 0", "primary", str(key.public), "block", of.id, signature=of.producer_signature
    )


def act(name: str, seconds: float) -> Act:
    return Act(timestamp(moment(seconds)), name, "uid 0", None)


def ledger(folder: Path, *entries: Entry | Gap) -> Ledger:
    """Return the ledger of a log of these entries, written and read as it is."""
    path = folder / "audit.jsonl"
    writer = AuditWriter(path, timestamp(NOON))
    for entry in entries:
        if isinstance(entry, Gap):
            writer._queue.append(entry)  # noqa: SLF001 - a full queue makes one
        else:
            writer.append([entry])
    writer.append([])
    writer.close(timestamp(moment(10_000)))
    return read(path, NOON)


START = act("start", -100)


def author(book: Ledger, of: Block, authority: set[str] | None) -> Author:
    return Comparison(book, OWN).find(of, authority).author


def test_ours_if_the_log_has_the_signature(tmp_path: Path) -> None:
    """Whatever the schedule says."""
    first = block(50)
    book = ledger(tmp_path, START, signed(first))
    assert author(book, first, None) is Author.OURS
    assert author(book, first, {str(THEIRS.public)}) is Author.OURS


def test_a_clone_if_only_a_key_of_ours_can_have_signed(tmp_path: Path) -> None:
    """The authority has one key, or only ours of the signature's curve."""
    book = ledger(tmp_path, START, signed(block(50)))
    assert author(book, block(60), {str(OURS.public)}) is Author.CLONE
    assert author(book, block(60), OWN) is Author.CLONE
    assert author(book, block(60), {str(OURS.public), str(K1.public)}) is Author.CLONE


def test_foreign_if_no_key_of_ours_can_have_signed(tmp_path: Path) -> None:
    """Another node's signer makes blocks of the same producer: nobody is to be woken."""
    book = ledger(tmp_path, START)
    assert author(book, block(60, THEIRS), {str(THEIRS.public)}) is Author.FOREIGN
    assert author(book, block(60, K1), {str(K1.public), str(OURS.public)}) is Author.FOREIGN


def test_unclear_where_nobody_can_tell(tmp_path: Path) -> None:
    """A shared authority, a schedule that is gone, and what is older than the log."""
    book = ledger(tmp_path, START)
    assert author(book, block(60), {str(OURS.public), str(THEIRS.public)}) is Author.UNCLEAR
    assert author(book, block(60), None) is Author.UNCLEAR
    assert author(book, block(60), set()) is Author.UNCLEAR
    assert author(book, block(-98), {str(OURS.public)}) is Author.UNCLEAR
    assert author(Ledger(), block(60), {str(OURS.public)}) is Author.UNCLEAR


def test_on_savanna_the_signature_tells_the_key(tmp_path: Path) -> None:
    """Its digest is the block's id, so no schedule is needed, also in an authority that is shared."""
    book = ledger(tmp_path, START)
    both = {str(OURS.public), str(THEIRS.public)}
    assert author(book, block(60, savanna=True), None) is Author.CLONE
    assert author(book, block(60, savanna=True), both) is Author.CLONE
    assert author(book, block(60, THEIRS, savanna=True), both) is Author.FOREIGN
    assert possible_keys(replace(block(60, savanna=True), producer_signature="SIG_R1_x"), both) is None


def test_lines_that_were_lost_accuse_nobody(tmp_path: Path) -> None:
    """A gap says that signatures are missing; a killed signer may have taken the last ones with it."""
    gap = Gap(timestamp(moment(100)), timestamp(moment(110)), 3, {str(OURS.public): 2})
    book = ledger(tmp_path, START, signed(block(50)), gap, signed(block(200)), act("start", 230))
    alone = {str(OURS.public)}
    assert author(book, block(105), alone) is Author.UNCLEAR
    assert author(book, block(150), alone) is Author.CLONE
    comparison = Comparison(book, OWN)
    found = [comparison.find(block(number), alone).author for number in range(210, 216)]
    assert found == [Author.UNCLEAR] * LOST_AT_A_KILL + [Author.CLONE] * (6 - LOST_AT_A_KILL)
    assert author(book, block(300), alone) is Author.CLONE


def test_a_torn_end_does_not_hide_how_long_ago_the_last_line_was(tmp_path: Path) -> None:
    """It is written before the start that follows a power loss, as is what a command wrote meanwhile."""
    acts = [act("torn-tail", 229), act("token-create", 220), act("start", 230)]
    book = ledger(tmp_path, START, signed(block(100)), *acts)
    assert author(book, block(150), {str(OURS.public)}) is Author.UNCLEAR


def test_a_signer_that_ended_on_a_full_disk_accuses_nobody(tmp_path: Path) -> None:
    """Any number of signatures waited for the log, and went with it."""
    book = ledger(tmp_path, START, signed(block(50)), act("entries-lost", 229), act("start", 230))
    comparison = Comparison(book, OWN)
    alone = {str(OURS.public)}
    assert {comparison.find(block(number), alone).author for number in range(60, 230)} == {Author.UNCLEAR}
    assert comparison.find(block(300), alone).author is Author.CLONE


def test_a_signing_process_that_was_killed_takes_its_last_signatures_with_it(tmp_path: Path) -> None:
    """It answers nodeos before the supervisor has the decision."""
    book = ledger(tmp_path, START, signed(block(50)), act("signing-ended", 100))
    alone = {str(OURS.public)}
    comparison = Comparison(book, OWN)
    found = [comparison.find(block(99 + number), alone).author for number in range(4)]
    assert found == [Author.UNCLEAR] * LOST_AT_A_KILL + [Author.CLONE] * (4 - LOST_AT_A_KILL)
    assert author(book, block(120), alone) is Author.CLONE


def test_each_of_two_kills_has_its_own_last_signatures(tmp_path: Path) -> None:
    """They are so near to each other that a block may be of either."""
    book = ledger(tmp_path, START, signed(block(50)), act("signing-ended", 100), act("signing-ended", 104))
    comparison = Comparison(book, OWN)
    found = [comparison.find(block(99 + number), {str(OURS.public)}).author for number in range(6)]
    assert found == [Author.UNCLEAR] * 2 * LOST_AT_A_KILL + [Author.CLONE] * (6 - 2 * LOST_AT_A_KILL)


@pytest.mark.parametrize("signs", [True, False])
def test_a_kill_accuses_nobody_where_the_start_before_it_is_in_an_older_file(
    tmp_path: Path,
    signs: bool,  # noqa: FBT001 - a parameter
) -> None:
    """A file that reached its size: what is read begins in the middle of a signer's life."""
    path = tmp_path / "audit.jsonl"
    writer = AuditWriter(path, timestamp(NOON), max_bytes=1)
    writer.append([act("start", 1)])  # and another file begins
    writer.max_bytes = 10**9
    if signs:
        writer.append([signed(block(60))])
    writer.append([act("start", 62)])  # it was killed after block 61, whose line it had not written
    writer.close(timestamp(moment(10_000)))
    book = read(path, moment(30))
    assert author(book, block(61), {str(OURS.public)}) is Author.UNCLEAR


def test_while_the_signer_was_stopped_it_signed_nothing(tmp_path: Path) -> None:
    """A block of that time is somebody else's."""
    book = ledger(tmp_path, START, act("stop", 10), act("start", 1000))
    assert author(book, block(500), {str(OURS.public)}) is Author.CLONE


def test_both_ways(tmp_path: Path) -> None:
    """Signed and on the chain, signed and lost, and never signed."""
    on_chain, lost, early = block(50), block(55), block(2)
    book = ledger(tmp_path, START, signed(early), signed(on_chain), signed(lost), signed(block(56, K1), K1))
    alone = {str(OURS.public)}
    found = compare([(on_chain, alone), (block(60), alone)], book, OWN, moment(10), moment(100))
    assert found.lost == [lost.producer_signature]
    assert [each.author for each in found.findings] == [Author.OURS, Author.CLONE]


class _Supervisor:
    """Takes alarms, or nobody answers."""

    def __init__(self) -> None:
        self.alarms: list[tuple[str, str, str]] = []
        self.answers = True

    async def alarm(self, name: str, subject: str, text: str, *, on: bool) -> None:
        """Take one."""
        if not self.answers:
            raise AdminError("nobody")
        assert on
        self.alarms.append((name, subject, text))


def reconciler(folder: Path, supervisor: _Supervisor, now: list[float]) -> Reconciler:
    """Return one whose time the test moves."""
    return Reconciler("eos", OWN, folder / "audit.jsonl", supervisor, monotonic=lambda: now[0])  # type: ignore[arg-type]


def test_the_alarm_names_key_and_block_and_is_not_lost(tmp_path: Path) -> None:
    """Where the supervisor does not answer it is raised the next time; twelve blocks are one look at the log."""
    ledger(tmp_path, START, signed(block(50)))
    supervisor, now = _Supervisor(), [100.0]
    watch = reconciler(tmp_path, supervisor, now)
    alone = (str(OURS.public),)

    async def scenario() -> None:
        supervisor.answers = False
        with pytest.raises(AdminError):
            await watch.look([(block(60), alone)])
        supervisor.answers = True
        assert await watch.look([(block(61), alone)]) == []
        now[0] += 6.0
        found = await watch.look([(block(62), alone), (block(63, THEIRS), (str(THEIRS.public),))])
        assert [each.author for each in found] == [Author.CLONE] * 3
        assert await watch.look([]) == []

    asyncio.run(scenario())
    ((name, subject, text),) = supervisor.alarms
    assert (name, subject) == ("clone", str(OURS.public))
    assert "block 60 of 2026-11-27 12:01:00" in text
    assert "and 2 more" in text


def test_a_signature_that_is_only_in_the_log_is_ours(tmp_path: Path) -> None:
    """The supervisor remembers ten thousand; the log has all."""
    ours = block(50)
    ledger(tmp_path, START, signed(ours))
    supervisor, now = _Supervisor(), [100.0]
    found = asyncio.run(reconciler(tmp_path, supervisor, now).look([(ours, None), (block(51), None)]))
    assert (found, supervisor.alarms) == ([], [])  # without a schedule nobody is suspected at all
    now[0] += 6.0
    (finding,) = asyncio.run(reconciler(tmp_path, supervisor, now).look([(ours, tuple(OWN))]))
    assert (finding.author, supervisor.alarms) == (Author.OURS, [])


def test_a_log_that_cannot_be_read_accuses_nobody(tmp_path: Path) -> None:
    """And the blocks are looked at when it can."""
    supervisor, now = _Supervisor(), [100.0]
    watch = reconciler(tmp_path, supervisor, now)
    assert asyncio.run(watch.look([(block(60), tuple(OWN))])) == []
    ledger(tmp_path, START)
    now[0] += 6.0
    assert [each.author for each in asyncio.run(watch.look([]))] == [Author.CLONE]
