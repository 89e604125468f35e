"""The machine against a chain that forks, other people, API nodes that lag, lost answers, and a runner that dies.

Hypothesis says what happens and when; `simulated_chain` is the truth that every conclusion is held against.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from rig import two_nodes
from rotation.simulated_chain import ROUND, SOMEBODY, Block, Chain, Scheduled
from rotation.simulated_runner import Api, Crash, Killed, Node, Push, Runner, World

from signer.errors import RotationError
from signer.rotation import machine
from signer.rotation.rotation import TERMINAL, Kind, Purpose, Request, Rotation, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from signer.antelope.keys import PublicKey
    from signer.rotation.entry import Entry

OLD, NEW, OTHER = two_nodes.A[1], two_nodes.B[1], two_nodes.A[2]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
FIRST = 10_000
#: A chain that behaves needs fewer looks than this, each a minute's half after the one before: three transactions that
#: expire, and two changes of a legacy schedule.
LOOKS = 150
LOOK_SLOTS = 40
#: The ends of a rotation that has no transaction under way. In the others it changes nothing: what it registers is in
#: the row already.
SETTLED = TERMINAL - {State.DONE, State.UNSCHEDULED}


PRODUCES_SOON = {State.REGISTERED, State.PROPOSED, State.PENDING, State.ACTIVE}


class RotationOnAChain(RuleBasedStateMachine):
    """One rotation, from its plan to its end."""

    world: World
    runner: Runner

    @initialize(
        kind=st.sampled_from(Kind),
        emergency=st.sampled_from([False, False, True]),
        needs_approval=st.sampled_from([False, False, False, True]),
        may_return=st.sampled_from([True, True, True, False]),
        savanna=st.booleans(),
        lag=st.sampled_from([3, 12, 40, 150]),
        producers=st.integers(1, 3),
        lifetime=st.sampled_from([12, 120]),
        before=st.sampled_from(["settled", "settled", "to the old key", "unelected"]),
    )
    def begin(
        self,
        *,
        kind: Kind,
        emergency: bool,
        needs_approval: bool,
        may_return: bool,
        savanna: bool,
        lag: int,
        producers: int,
        lifetime: int,
        before: str,
    ) -> None:
        """Plan a rotation on a chain that is at rest, or that somebody has changed a moment ago."""
        request = Request(
            kind,
            "local",
            "a" if kind is Kind.CYCLE else "b",
            "alice",
            emergency=emergency,
            may_return=may_return,
        )
        self._plan(
            request,
            needs_approval=needs_approval,
            savanna=savanna,
            lag=lag,
            producers=producers,
            lifetime=lifetime,
            before=before,
        )

    def _plan(
        self,
        request: Request,
        *,
        needs_approval: bool,
        savanna: bool,
        lag: int,
        producers: int,
        lifetime: int,
        before: str,
    ) -> None:
        kind = request.kind
        cycle = kind is Kind.CYCLE
        nodes = [Node("a", frozenset({OLD, *((NEW,) if cycle else ())}))]
        nodes += [] if cycle else [Node("b", frozenset({NEW}))]
        active = {"settled": OLD, "to the old key": NEW, "unelected": None}[before]
        changing = before == "to the old key"
        head = Block(
            FIRST, 0, FIRST, None, None, FIRST, frozenset({OLD}), SOMEBODY, active, None,
            Scheduled(OLD, FIRST) if changing else None, FIRST, frozenset(),
        )  # fmt: skip
        chain = Chain(
            savanna,
            min(lag, 3) if savanna else lag,
            producers,
            head,
            set(),
            elected=active is not None,
            slot=FIRST,
            final=FIRST,
        )
        rotation = Rotation(
            1,
            request,
            two_nodes.PRODUCER,
            "rotate",
            NEW,
            NOW,
            State.PLANNED,
            NOW,
            needs_approval=needs_approval,
            reached={State.PLANNED: NOW},
        )
        self.world = World(
            chain,
            [Api(head), Api(head)],
            {each.name: each for each in nodes},
            rotation,
            lifetime,
            frozenset({OTHER}),
        )
        self.world.saved = self._saved
        self.world.produce()
        self.runner = Runner(self.world)
        self.superseded = False
        self.previous = rotation
        self.acts = 0

    # -- what happens --------------------------------------------------------------------------------------

    @rule(looks=st.integers(1, 8), slots=st.sampled_from([1, 2, 3, 7, 20, 60]))
    def run(self, looks: int, slots: int) -> None:
        """Let the runner work."""
        for _ in range(looks):
            self.world.advance(slots)
            self._step()

    @rule()
    def look(self) -> None:
        """Let the runner work once."""
        self._step()

    @precondition(lambda self: self.world.journal.transactions)
    @rule(looks=st.integers(5, 15))
    def run_long(self, looks: int) -> None:
        """Let the runner work through a change of schedule."""
        self.run(looks, 30)

    @rule(slots=st.integers(1, 200))
    def wait(self, slots: int) -> None:
        """Let time pass without the runner."""
        self.world.advance(slots)

    @rule(depth=st.integers(1, 8), look=st.booleans())
    def fork(self, depth: int, look: bool) -> None:  # noqa: FBT001 - hypothesis calls it
        """Drop some blocks."""
        self.world.chain.fork(depth)
        self.world.advance(1)
        if look:
            self._step()

    @rule(api=st.integers(0, 1), follows=st.booleans(), up=st.booleans())
    def api(self, api: int, follows: bool, up: bool) -> None:  # noqa: FBT001 - hypothesis calls it
        """Let an API node stay behind, be gone, or come back."""
        self.world.apis[api].follows, self.world.apis[api].up = follows, up
        self.world.sync()

    @rule(push=st.sampled_from(Push), lands=st.booleans())
    def network(self, push: Push, lands: bool) -> None:  # noqa: FBT001 - hypothesis calls it
        """Let transactions arrive, be refused, be lost, or wait."""
        self.world.push, self.world.chain.lands = push, lands

    @rule(slots=st.integers(0, 4), fork=st.booleans())
    def slow_looks(self, slots: int, fork: bool) -> None:  # noqa: FBT001 - hypothesis calls it
        """Let the chain move on in the middle of a look."""
        self.world.between, self.world.fork_between = slots, fork

    @rule(keys=st.sampled_from([{OLD}, {NEW}, {OTHER}, {OLD, OTHER}, set()]), look=st.booleans())
    def somebody(self, keys: set[PublicKey], look: bool) -> None:  # noqa: FBT001 - hypothesis calls it
        """Let somebody else change the row."""
        self.world.chain.act(frozenset(keys))
        if look:
            self.world.advance(1)
            self._step()

    @rule(elected=st.booleans())
    def voters(self, elected: bool) -> None:  # noqa: FBT001 - hypothesis calls it
        """Let voters change their minds."""
        self.world.chain.elected = elected

    @precondition(lambda self: self.world.journal.state in PRODUCES_SOON)
    @rule(looks=st.integers(0, 12), slots=st.sampled_from([2, 20, 40]))
    def target_dies(self, looks: int, slots: int) -> None:
        """Let the node that should produce die, for long or for ever."""
        self.world.nodes[self.world.journal.request.node].up = False
        self.world.produce()
        self.run(looks, slots)

    @rule(node=st.sampled_from("ab"), up=st.booleans())
    def node(self, node: str, up: bool) -> None:  # noqa: FBT001 - hypothesis calls it
        """Let a node die, or come back."""
        if node in self.world.nodes:
            self.world.nodes[node].up = up
            self.world.produce()

    @rule(crash=st.sampled_from(Crash), after=st.integers(0, 3))
    def crash(self, crash: Crash, after: int) -> None:
        """Kill the runner at one of its next writes."""
        self.world.crash, self.world.crash_after = crash, after

    @rule()
    def restart(self) -> None:
        """Kill the runner between two steps."""
        self.runner = Runner(self.world)

    @precondition(lambda self: self.world.journal.state is State.SIGNED)
    @rule()
    def abort(self) -> None:
        """Let a person ask for the end."""
        self._person(lambda: machine.ask_abort(self.runner.rotation, "carol", NOW))

    @rule(by=st.sampled_from(["alice", "bob"]))
    def approve(self, by: str) -> None:
        """Let a person agree."""
        self._person(lambda: machine.approve(self.runner.rotation, by, NOW))

    @precondition(lambda self: len(self.world.history) > 8)
    @rule()
    def emergency(self) -> None:
        """Let an emergency take its place."""
        self.superseded = self.superseded or self.world.journal.live
        self._person(lambda: machine.supersede(self.runner.rotation, "carol", NOW))

    def _person(self, act: Callable[[], machine.Change]) -> None:
        try:
            self.runner.save(act())
        except RotationError:
            pass
        except Killed:
            self.runner = Runner(self.world)

    def _step(self) -> None:
        try:
            self.runner.step()
        except Killed:
            self.runner = Runner(self.world)

    # -- what must hold ------------------------------------------------------------------------------------

    def _saved(self, rotation: Rotation, entry: Entry, view: Block) -> None:
        """Hold a conclusion against what the API nodes knew when it was drawn."""
        assert rotation.state is entry.state
        assert entry.text
        assert self.previous.live or self.previous.state is rotation.state
        assert rotation.head_seen >= self.previous.head_seen
        assert rotation.transactions[: len(self.previous.transactions) - 1] == self.previous.transactions[:-1]
        entered = rotation.state is not self.previous.state
        self.previous = rotation
        if entered:
            self._entered(rotation, view)

    def _entered(self, rotation: Rotation, view: Block) -> None:
        chain, acts = self.world.chain, self.world.chain.acts
        if rotation.state in (State.VERIFIED, State.DONE):
            self._signed(rotation, view, NEW)
        if rotation.state is State.DONE:
            assert rotation.verified is not None
            assert rotation.verified.number <= view.irreversible_number
            if rotation.safe_to_stop is not None:
                assert view.row == {NEW}
                assert view.active in (NEW, None) or acts
                hidden = [each for each in (view.pending, view.proposed) if each is not None]
                assert all(each.key in (NEW, None) for each in hidden) or acts
        if rotation.state is State.RETURNED:
            assert view.row == {OLD}
            assert view.active in (OLD, None) or acts
            if rotation.verified is not None:
                self._signed(rotation, view, OLD)
        if rotation.state is State.SUPERSEDED and not self.superseded:
            assert acts or chain.forks
        if rotation.state is State.UNSCHEDULED:
            assert view.row == {NEW}
            assert view.active is None

    def _signed(self, rotation: Rotation, view: Block, key: PublicKey) -> None:
        proof = rotation.verified
        assert proof is not None
        block = view.ancestor(proof.number)
        assert f"{block.id}" == proof.id
        assert block.signature == proof.producer_signature
        assert block.signed_with == key == block.active

    @invariant()
    def one_live_transaction(self) -> None:
        """No two transactions of a rotation can enter a block, by the chain's own truth."""
        world = self.world
        live = [each for each in world.journal.transactions if world.chain.live(world.signed[each.id])]
        assert len(live) <= 1

    @invariant()
    def nothing_happens_after_the_end(self) -> None:
        """What has ended without the new key stays so, whatever is still under way."""
        rotation, chain = self.world.journal, self.world.chain
        if rotation.state not in SETTLED or self.superseded:
            return
        assert not any(chain.live(each) for each in chain.taken.values())
        row, by = chain.head.row, chain.head.row_by
        returning = State.RETURNING in rotation.reached
        if rotation.state in (State.ABORTED, State.REFUSED, State.FAILED) and not returning:
            assert row != {NEW} or by == SOMEBODY

    @invariant()
    def returns_once(self) -> None:
        """Never in an emergency, never where it is forbidden, and nothing else afterwards."""
        rotation = self.world.journal
        purposes = [each.purpose for each in rotation.transactions]
        if Purpose.RETURN in purposes:
            assert not rotation.request.emergency
            assert rotation.request.may_return
            assert purposes == sorted(purposes, key=list(Purpose).index)
            assert rotation.state in (
                State.RETURNING, State.RETURNED, State.SUPERSEDED, State.FAILED
            )  # fmt: skip
        assert all(purposes.count(each) <= machine.MAX_TRANSACTIONS for each in Purpose)

    def teardown(self) -> None:
        """A chain that behaves from now on ends every rotation."""
        if not hasattr(self, "world"):
            return
        world = self.world
        world.crash, world.push, world.between, world.fork_between = None, Push.TAKEN, 0, False
        world.chain.lands = True
        for api in world.apis:
            api.follows = api.up = True
        for node in world.nodes.values():
            node.up = True
        world.produce()
        if world.journal.state in (State.PLANNED, State.APPROVAL) and world.journal.needs_approval:
            self._step()
            self._person(lambda: machine.approve(self.runner.rotation, "bob", NOW))
        for _ in range(LOOKS):
            if not world.journal.live:
                break
            world.advance(LOOK_SLOTS)
            self._step()
        ended = f"{world.journal.state}: {world.journal.reason}"
        assert not world.journal.live, ended
        world.advance(4 * ROUND)
        self.one_live_transaction()
        self.nothing_happens_after_the_end()


class ReturnOnAChain(RotationOnAChain):
    """A rotation whose new node died, before or after it could produce, from the decision to return on."""

    @initialize(
        savanna=st.booleans(),
        lag=st.sampled_from([3, 12, 40]),
        producers=st.integers(1, 3),
        lifetime=st.sampled_from([12, 120]),
        before_active=st.booleans(),
    )
    def begin(self, *, savanna: bool, lag: int, producers: int, lifetime: int, before_active: bool) -> None:
        """Let the new node die, and the runner see it."""
        self._plan(
            Request(Kind.PROMOTE, "local", "b", "alice"),
            needs_approval=False,
            savanna=savanna,
            lag=lag,
            producers=producers,
            lifetime=lifetime,
            before="settled",
        )
        self._step()
        self._step()
        dies_in = State.REGISTERED if before_active else State.ACTIVE
        for _ in range(400):
            self.world.advance(3)
            self._step()
            if self.world.journal.state is dies_in:
                self.world.nodes["b"].up = False
                self.world.produce()
            if self.world.journal.state in (State.RETURNING, *TERMINAL):
                break


RotationOnAChain.TestCase.settings = settings(max_examples=120, stateful_step_count=30, deadline=None)
ReturnOnAChain.TestCase.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
TestRotationOnAChain = RotationOnAChain.TestCase
TestReturnOnAChain = ReturnOnAChain.TestCase
