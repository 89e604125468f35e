"""A store of tokens and the application around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from rig.control_site import Clock, Site, status
from rig.fake_rotations import KEY_A, KEY_B, FakeChain, FakeRotations, FakeSupervisor, FakeWatch

from signer.config import Chain, Config, Key, Listener, Node, TcpAddress
from signer.control.app import create_app
from signer.control.auth import TokenStore
from signer.control.gate import Gate
from signer.rotation.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def tokens(tmp_path: Path) -> Iterator[TokenStore]:
    """Return an empty store."""
    store = TokenStore(tmp_path / "state" / "control.sqlite")
    yield store
    store.close()


@pytest.fixture
def site(tokens: TokenStore, tmp_path: Path) -> Iterator[Site]:
    """Yield the application with a TCP listener on 192.0.2.7, one chain that can rotate and one that cannot."""
    listener = Listener.model_construct(kind="control", tcp=TcpAddress("192.0.2.7", 8902))
    keys = (
        Key(public_key=KEY_A, role="block", node="a", token="primary", label="a-1"),
        Key(public_key=KEY_B, role="block", node="b", token="standby", label="b-1"),
        Key(public_key=KEY_B, role="rotation", chain="eos", token="control", label="r-1"),
    )
    eos = Chain(id="aa" * 32, api=("http://127.0.0.1:8888",), producer="bp1")
    config = Config.model_construct(
        listeners=(listener,),
        chains={"eos": eos, "bare": Chain(id="bb" * 32)},
        nodes={"a": Node(chain="eos"), "b": Node(chain="eos"), "c": Node(chain="bare")},
        keys=keys,
    )
    clock = Clock()
    answer: dict[str, Any] = status()
    supervisor, rotations = FakeSupervisor(answer), FakeRotations(clock)
    chain, watch = FakeChain(), FakeWatch()
    journal = Journal(tmp_path / "state" / "control.sqlite")
    app = create_app(
        config,
        tokens,
        supervisor,
        journal,
        rotation_service=rotations,
        chains={"eos": chain},
        watches={"eos": watch},
        clock=lambda: clock.now,
    )
    app.state.gate = Gate(tokens, lambda: clock.now, lambda: clock.monotonic_s)
    yield Site(app, tokens, clock, answer, supervisor, rotations, journal, chain, watch)
    journal.close()
