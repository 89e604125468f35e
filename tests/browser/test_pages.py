"""The dashboard in a real browser, on a real chain: what people do there, and what the browser thinks of it.

With BROWSER_SHOTS=FOLDER in the environment the pages are photographed into that folder.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from rig.reader import Reader

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from rig.member import Member

pytestmark = pytest.mark.chain

#: ms. Looking for another schedule, and its way into force; as rig.rotating_signer has it.
_ROTATION_MS = 300_000
_PAGES = ("/dashboard", "/rotations", "/move/promote", "/freeze", "/keys", "/audit")
_SIZES = {1280: 900, 390: 844}
_SHOTS = os.environ.get("BROWSER_SHOTS")


def test_the_dashboard_says_who_signs(reader: Reader, member: Member) -> None:
    """First and big: the node and the key of the active schedule; then everything else, live."""
    reader.log_in("alice")

    expect(reader.page.locator("#now .node")).to_have_text("primary")
    expect(reader.page.locator("#now")).to_contain_text(member.signer.keys("primary")[0])
    expect(reader.page.locator("#now .state")).to_contain_text("signing")
    expect(reader.page.locator("#schedule")).to_contain_text("primary")
    expect(reader.page.locator("#slots")).to_contain_text("12 signed here")
    expect(reader.page.locator("#latency svg").first).to_be_visible()
    expect(reader.page.locator("#tokens")).to_contain_text("logged-in")
    expect(reader.page.locator("#rings")).to_contain_text("nights left")
    reader.is_live()
    reader.is_content()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_is_accessible(chromium: Browser, member: Member, theme: str, tmp_path: Path) -> None:
    """In light and dark, wide and narrow: axe finds nothing, nothing is wider than the screen."""
    folder = Path(_SHOTS) if _SHOTS else tmp_path
    for width, height in _SIZES.items():
        with Reader.open(
            chromium, member.signer, color_scheme=theme, viewport={"width": width, "height": height}
        ) as reader:
            reader.page.goto("/login")
            assert reader.violations() == []
            reader.page.screenshot(path=folder / f"login-{theme}-{width}.png")
            reader.log_in("alice")
            for path in _PAGES:
                reader.page.goto(path)
                if path == "/dashboard":
                    reader.is_live()
                    expect(reader.page.locator("#slots")).to_contain_text("12 signed here")
                assert reader.violations() == [], path
                wide = reader.page.evaluate("document.documentElement.scrollWidth")
                assert wide <= width, (path, wide)
                name = path.strip("/").replace("/", "-")
                reader.page.screenshot(path=folder / f"{name}-{theme}-{width}.png", full_page=True)
            reader.is_content()
