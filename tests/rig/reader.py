"""A person in front of a browser: what they see, and what the browser says of the pages behind their back."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import axe_playwright_python
from playwright.sync_api import expect

from rig.condition import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

    from rig.rotating_signer import RotatingSigner

#: axe-core as the package carries it.
_AXE: Final = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
#: ms. Against a hang; nothing here waits for the chain.
_PATIENCE_MS: Final = 60_000
expect.set_options(timeout=_PATIENCE_MS)


@dataclass
class Reader:
    """A person, a browser's context, one page.

    Attributes:
        signer: whose pages they look at.
        context: with its own cookies.
        page: the page.
        complaints: errors and warnings of the browser's console, and of scripts.
        hosts: whom the browser asked for anything.
    """

    signer: RotatingSigner
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    @classmethod
    @contextlib.contextmanager
    def open(cls, browser: Browser, signer: RotatingSigner, **options: Any) -> Iterator[Reader]:  # noqa: ANN401
        """Yield a reader with cookies of their own. `options` are Playwright's for a context."""
        context = browser.new_context(base_url=signer.description["control_url"], **options)
        context.set_default_timeout(_PATIENCE_MS)
        reader = cls(signer, context, context.new_page())
        reader.page.on("console", reader._said)
        reader.page.on("pageerror", lambda error: reader.complaints.append(f"script: {error}"))
        reader.page.on("request", lambda request: reader.hosts.add(urlsplit(request.url).netloc))
        try:
            yield reader
        finally:
            context.close()

    def _said(self, message: ConsoleMessage) -> None:
        # A refused form is a page with a status of 4xx, which the console reports as a failed load.
        expected = "Failed to load resource" in message.text and "status of 4" in message.text
        if message.type in ("error", "warning") and not expected:
            self.complaints.append(f"{message.type}: {message.text}")

    # -- doing -----------------------------------------------------------------------------------------

    def log_in(self, person: str, path: str = "/dashboard") -> None:
        """Log in and be on a page."""
        self.page.goto(path)
        self.page.get_by_label("Access token").fill(self.signer.token(person))
        self.page.get_by_role("button", name="Log in").click()
        self.page.wait_for_url(f"**{path}")

    def sees(self, text: str) -> None:
        """Wait until the page shows a text."""
        expect(self.page.locator("body")).to_contain_text(text)

    def is_live(self) -> None:
        """Wait until the page is told of changes."""
        expect(self.page.locator("#live")).to_have_text("Live")

    def photograph(self, name: str) -> None:
        """Keep a picture of the page in the folder BROWSER_SHOTS, if the environment names one."""
        folder = os.environ.get("BROWSER_SHOTS")
        if folder:
            self.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)

    def first_paint_ms(self) -> float:
        """Return when the browser first drew something of the page, in ms from the click."""
        paint = "performance.getEntriesByName('first-contentful-paint').map((each) => each.startTime)"
        found: list[float] = until(lambda: self.page.evaluate(paint), "the page is drawn")
        return found[0]

    # -- judging ---------------------------------------------------------------------------------------

    def violations(self) -> list[str]:
        """Return what axe-core has against the page."""
        # As an extension would: the page's own policy allows no script from elsewhere.
        session = self.context.new_cdp_session(self.page)
        session.send("Page.enable")
        tree = session.send("Page.getFrameTree")
        world = session.send(
            "Page.createIsolatedWorld", {"frameId": tree["frameTree"]["frame"]["id"], "worldName": "axe"}
        )
        context = world["executionContextId"]
        session.send("Runtime.evaluate", {"expression": _AXE, "contextId": context})
        answer = session.send(
            "Runtime.evaluate",
            {
                "expression": "axe.run().then((found) => found.violations.map((each) => "
                "`${each.id}: ${each.help}: "
                "${each.nodes.map((node) => node.html + ' ' + node.failureSummary).join('; ')}`))",
                "contextId": context,
                "awaitPromise": True,
                "returnByValue": True,
            },
        )
        session.detach()
        assert "exceptionDetails" not in answer, answer
        found: list[str] = answer["result"]["value"]
        return found

    def is_content(self) -> None:
        """Check that no script failed, nothing was forbidden, and nobody but the signer was asked."""
        assert self.complaints == []
        assert self.hosts == {urlsplit(self.signer.description["control_url"]).netloc}
