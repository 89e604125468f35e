"""A browser without a screen: keeps cookies, sends forms as the pages have them."""

from __future__ import annotations

import asyncio
import html
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rig.control_site import Site

_HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')


@dataclass
class Visitor:
    """Somebody at the pages of a site.

    Attributes:
        site: whose pages.
        origin: how the browser calls the site.
        cookies: what it keeps.
        page: the text of the page that it shows.
    """

    site: Site
    origin: str = "http://localhost"
    cookies: httpx.Cookies = field(default_factory=httpx.Cookies)
    page: str = ""

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """Open a page."""
        return self._send("GET", path, headers=headers)

    def post(
        self,
        path: str,
        fields: Mapping[str, str] | None = None,
        *,
        origin: str | None = "",
        csrf: bool = True,
    ) -> httpx.Response:
        """Send a form with the hidden fields of the page that is open. `origin` None: the header is left out."""
        hidden = {name: html.unescape(text) for name, text in _HIDDEN.findall(self.page)}
        if not csrf:
            hidden.pop("csrf", None)
        headers = {} if origin is None else {"origin": origin or self.origin}
        return self._send("POST", path, headers=headers, data=hidden | dict(fields or {}))

    def send(self, path: str, content: str, kind: str) -> httpx.Response:
        """Send something of another kind than a form of a page, as a program can."""
        return self._send("POST", path, {"origin": self.origin, "content-type": kind}, content=content)

    def log_in(self, token: str) -> httpx.Response:
        """Show a token at the door."""
        self.get("/login")
        return self.post("/login", {"token": token})

    def _send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        data: Mapping[str, str] | None = None,
        content: str | None = None,
    ) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.site.app, client=("127.0.0.1", 40000))
            async with httpx.AsyncClient(
                transport=transport, base_url=self.origin, cookies=self.cookies
            ) as http:
                answer = await http.request(method, path, headers=headers, data=data, content=content)
                self.cookies = http.cookies
                return answer

        answer = asyncio.run(send())
        if answer.status_code != 303:
            self.page = answer.text
        return answer
