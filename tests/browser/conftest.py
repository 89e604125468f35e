"""A real chain, a real signer on it, and Chromium. They end with the module: what runs next needs the machine."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright
from rig.chain import Chain
from rig.reader import Reader
from rig.scenes import Scenes
from rig.stage import Stage
from rig.tools import Tools

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser
    from rig.member import Member

#: Debian's; Playwright brings none of its own. It asks nobody for anything.
_CHROMIUM = "/usr/bin/chromium"
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def member() -> Iterator[Member]:
    """A producer that is elected, with two nodes and a signer; alice may do everything."""
    with tempfile.TemporaryDirectory(prefix="b-") as made:
        folder = Path(made)
        with Chain(Tools.find(), folder / "chain") as chain, Scenes(1) as scenes:
            stage = Stage(Tools.find(), folder, chain, scenes)
            try:
                here = stage.member("mover", [chain.boot.url], ring=4)
                here.join("primary", "standby")
                here.producer.register(here.signer.keys("primary")[0])
                chain.elect(["mover"])
                here.signer.issue("alice", "view", "operate", "approve", "admin")
                here.signer.issue("carol", "view")
                yield here
            finally:
                stage.stop()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, headless."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, headless=True, args=_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def reader(chromium: Browser, member: Member) -> Iterator[Reader]:
    """A person in front of a browser of their own, not logged in."""
    with Reader.open(chromium, member.signer) as made:
        yield made
