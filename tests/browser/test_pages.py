"""The dashboard in a real browser, on a real chain: what people do there, and what the browser thinks of it.

With BROWSER_SHOTS=FOLDER in the environment the pages are photographed into that folder.
"""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Final, Literal

import pytest
from playwright.sync_api import expect
from rig.reader import Reader

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from rig.member import Member

pytestmark = pytest.mark.chain

#: ms. Longer than a rotation that just misses one look of eosio.system for another schedule.
_ROTATION_MS: Final = 300_000
_PAGES: Final = (
    "/dashboard",
    "/rotations",
    "/move/promote",
    "/freeze",
    "/keys",
    "/audit",
    "/unfreeze?scope=all",
)
_SIZES: Final = {1280: 900, 390: 844}
_PAINTS: Final = 20


def test_the_dashboard_says_who_signs(reader: Reader, member: Member) -> None:
    """First and big: the node and the key of the active schedule; then everything else, live."""
    reader.log_in("alice")
    now = reader.page.locator("#now")

    expect(now.locator(".node")).to_have_text("primary")
    expect(now).to_contain_text(member.signer.keys("primary")[0])
    expect(now.locator(".state")).to_contain_text("signing")
    expect(reader.page.locator("#schedule")).to_contain_text("primary")
    expect(reader.page.locator("#slots")).to_contain_text("12 signed here")
    expect(reader.page.locator("#latency svg").first).to_be_visible()
    expect(reader.page.locator("#tokens")).to_contain_text("logged-in")
    expect(reader.page.locator("#rings")).to_contain_text("nights left")
    reader.is_live()
    paints_ms = []
    for _ in range(_PAINTS):
        reader.page.goto("/dashboard")
        paints_ms.append(reader.first_paint_ms())
    print(f"\nfirst paint of the dashboard, ms: median {median(paints_ms):.0f}, worst {max(paints_ms):.0f}")  # noqa: T201 - what is reported
    reader.is_content()


def test_without_scripts_a_reload_shows_the_same(chromium: Browser, member: Member) -> None:
    with Reader.open(chromium, member.signer, java_script_enabled=False) as reader:
        reader.log_in("alice")
        reader.page.reload()

        expect(reader.page.locator("#now .node")).to_have_text("primary")
        reader.sees("reload for more")


def test_a_wrong_token_is_refused_in_words(reader: Reader) -> None:
    reader.page.goto("/")
    reader.page.get_by_label("Access token").fill("sgn_" + "x" * 43)
    reader.page.get_by_role("button", name="Log in").click()

    reader.sees("The token is not valid: unknown, expired or revoked.")
    assert reader.context.cookies() == [
        each for each in reader.context.cookies() if each["name"] == "signer-login"
    ]
    reader.is_content()


def test_a_revoked_token_ends_what_is_open(reader: Reader, member: Member) -> None:
    """The page that is open goes to the door by itself."""
    member.signer.issue("dave", "view")
    reader.log_in("dave")
    reader.is_live()

    assert member.signer.run("token", "revoke", "dave").returncode == 0

    expect(reader.page.get_by_label("Access token")).to_be_visible()
    reader.is_content()


def test_who_may_only_look_is_told_why_not_more(reader: Reader) -> None:
    reader.log_in("carol")
    expect(reader.page.get_by_role("link", name="Promote…")).to_have_count(0)

    reader.page.goto("/move/promote")

    reader.sees("This needs a token with the scope operate.")
    reader.is_content()


def test_a_freeze_is_seen_at_once_by_everybody_and_ended_with_the_token(
    chromium: Browser, reader: Reader, member: Member
) -> None:
    """Of the standby, which signs nothing here. Who looks at another page sees it within a slot."""
    reader.log_in("alice", "/freeze")
    with Reader.open(chromium, member.signer) as other:
        other.log_in("carol")
        other.is_live()
        frozen = other.page.locator("#frozen")

        reader.page.get_by_label("What").select_option("node standby")
        reader.page.get_by_label("Reason").fill("a <b>test</b>")
        reader.page.get_by_role("button", name="Freeze").click()
        reader.sees("a <b>test</b>")
        began = time.monotonic()
        expect(frozen).to_contain_text("node standby")
        seen_s = time.monotonic() - began
        expect(other.page.locator("#alarms")).to_contain_text("frozen")
        other.is_content()
    print(f"\na freeze was seen {1000 * seen_s:.0f} ms after its page was back")  # noqa: T201 - what is reported

    reader.page.get_by_role("link", name="Unfreeze…").click()
    reader.sees("These keys may sign again")
    reader.sees("standby-r1-1")
    assert reader.violations() == []
    reader.page.get_by_label("Your access token, again").fill(member.signer.token("carol"))
    reader.page.get_by_role("button", name="Unfreeze").click()
    reader.sees("This is not a token of alice")
    reader.page.get_by_label("Your access token, again").fill(member.signer.token("alice"))
    reader.page.get_by_role("button", name="Unfreeze").click()
    reader.sees("nothing is frozen")
    reader.is_content()

    reader.page.goto("/audit")
    reader.sees("control: alice")


def test_the_audit_log_is_searched(reader: Reader, member: Member) -> None:
    reader.log_in("alice", "/audit")
    reader.page.get_by_label("Node").select_option("primary")
    reader.page.get_by_label("Verdict").select_option("signed")
    reader.page.get_by_role("button", name="Search").click()

    first = reader.page.locator("tbody tr").first
    expect(first).to_contain_text("signed")
    expect(first).to_contain_text("primary-r1-1")
    reader.page.get_by_label("From (UTC)").fill("yesterday")
    reader.page.get_by_role("button", name="Search").click()
    reader.sees("From is a time in UTC")
    reader.is_content()


def test_the_theme_is_switched(reader: Reader) -> None:
    reader.log_in("carol")
    before = reader.page.evaluate("getComputedStyle(document.body).backgroundColor")
    reader.page.get_by_role("button", name="Dark").click()
    expect(reader.page.locator("html")).to_have_attribute("data-theme", "dark")

    assert reader.page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    reader.is_content()


def test_a_key_that_is_needed_is_not_destroyed(reader: Reader) -> None:
    reader.log_in("alice", "/keys")
    reader.page.get_by_role("link", name="Destroy… primary-r1-1").click()

    reader.sees("must not be destroyed")
    reader.sees("signer's configuration lists it")
    expect(reader.page.get_by_role("button", name="Release")).to_have_count(0)
    assert reader.violations() == []
    reader.is_content()


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 390)])
def test_every_page_is_accessible(
    chromium: Browser, member: Member, theme: Literal["light", "dark"], width: int
) -> None:
    """In light and dark, wide and narrow: axe finds nothing, nothing is wider than the screen."""
    with Reader.open(
        chromium, member.signer, color_scheme=theme, viewport={"width": width, "height": _SIZES[width]}
    ) as reader:
        reader.page.goto("/login")
        assert reader.violations() == []
        reader.log_in("alice")
        for path in _PAGES:
            reader.page.goto(path)
            if path == "/dashboard":
                reader.is_live()
            assert reader.violations() == [], path
            wide = reader.page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, (path, wide)
            reader.photograph(f"{path.partition('?')[0].strip('/').replace('/', '-')}-{theme}-{width}")
        reader.is_content()


def test_a_promotion_is_previewed_asked_for_and_watched_to_its_end(
    chromium: Browser, reader: Reader, member: Member
) -> None:
    """On the real chain: no reload from the click to `done`, and the dashboard then says who signs."""
    reader.log_in("alice")
    reader.page.get_by_role("link", name="Promote…").first.click()
    reader.page.get_by_label("Node that will produce").select_option("standby")
    reader.page.get_by_role("button", name="Show what will happen").click()
    expect(reader.page.locator(".facts .big")).to_have_text("primary →to standby")
    reader.sees("Preflight")
    assert reader.violations() == []
    reader.photograph("preview")

    reader.page.get_by_label("I know these warnings").check()
    reader.page.get_by_label("Your access token, again").fill("sgn_wrong")
    reader.page.get_by_role("button", name="Promote standby").click()
    reader.sees("The token is not valid")
    assert member.signer.latest() is None

    reader.page.get_by_label("I know these warnings").check()
    reader.page.get_by_label("Your access token, again").fill(member.signer.token("alice"))
    with Reader.open(chromium, member.signer) as other:
        other.log_in("carol")
        other.is_live()
        reader.page.get_by_role("button", name="Promote standby").click()
        reader.page.wait_for_url("**/rotations/1")
        reader.is_live()
        assert reader.violations() == []
        reader.page.set_viewport_size({"width": 390, "height": 844})
        assert reader.page.evaluate("document.documentElement.scrollWidth") <= 390
        expect(other.page.locator("#rotation")).to_contain_text("Rotation 1")
        progress = reader.page.locator("#progress")
        expect(progress.locator(".mark").first).to_contain_text("done", timeout=_ROTATION_MS)
        expect(progress.locator("li.done")).to_have_count(9)
        expect(progress).to_contain_text("carries our signature")
        expect(progress).to_contain_text("Safe to stop")
        expect(reader.page.locator("#history")).to_contain_text("is irreversible")
        expect(other.page.locator("#now .node")).to_have_text("standby")
        expect(other.page.locator("#now")).to_contain_text(member.signer.keys("standby")[0])
        other.photograph("dashboard-after")
        other.is_content()
    reader.photograph("rotation")
    reader.is_content()
