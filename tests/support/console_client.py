# SPDX-License-Identifier: Apache-2.0
"""A browser without scripts for the console's pages: it keeps cookies, follows redirects, and sends forms as a page's
own would be sent."""

import re
from html import unescape
from http.client import HTTPConnection
from http.cookies import SimpleCookie
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

from servers import Access, Program

from keyquorum.admin.client import Remote
from keyquorum.admin.console import new_link


class Page(NamedTuple):
    """``path`` is where the redirects ended. ``headers`` in lower case."""

    status: int
    path: str
    headers: dict[str, str]
    text: str

    @property
    def csrf(self) -> str:
        """Of the forms of this page."""
        found = re.search(r'name="csrf" value="([0-9a-f]+)"', self.text)
        assert found is not None, self.text
        return found[1]

    def hidden(self) -> dict[str, str]:
        """The hidden fields of all forms together."""
        found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', self.text)
        return {unescape(name): unescape(value) for name, value in found}


class Browser:
    """Headers that ``send`` is given replace those that a browser would send; None leaves one out."""

    def __init__(self, server: Program) -> None:
        self.server = server
        self.origin = f"http://{server.host}:{server.port}"
        self.cookies: dict[str, str] = {}
        self.agent = "test browser"

    def send(self, method: str, path: str, body: str | None = None, **headers: str | None) -> Page:
        """One request, redirects not followed."""
        sent: dict[str, str | None] = {"User-Agent": self.agent, "Sec-Fetch-Site": "same-origin"}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if method == "POST":
            sent |= {"Content-Type": "application/x-www-form-urlencoded", "Origin": self.origin}
        given = {name.replace("_", "-").title(): value for name, value in headers.items()}
        chosen = {name: value for name, value in (sent | given).items() if value is not None}
        connection = HTTPConnection(self.server.host, self.server.port, timeout=60)
        try:
            connection.request(method, path, None if body is None else body.encode(), chosen)
            answer = connection.getresponse()
            text = answer.read().decode()
            for cookie in answer.headers.get_all("set-cookie", []):
                for name, morsel in SimpleCookie(cookie).items():
                    if morsel["max-age"] == "0":
                        self.cookies.pop(name, None)
                    else:
                        self.cookies[name] = morsel.value
            found = {name.lower(): value for name, value in answer.headers.items()}
            return Page(answer.status, path, found, text)
        finally:
            connection.close()

    def follow(self, page: Page) -> Page:
        while page.status in (303, 307, 308):
            parts = urlsplit(page.headers["location"])
            page = self.send("GET", parts.path + (f"?{parts.query}" if parts.query else ""))
        return page

    def get(self, path: str, **query: str) -> Page:
        return self.follow(self.send("GET", f"{path}?{urlencode(query)}" if query else path))

    def post(self, path: str, fields: dict[str, str] | list[tuple[str, str]], **headers: str | None) -> Page:
        """``fields`` with those of them that a page of ours has hidden in its form."""
        return self.follow(self.send("POST", path, urlencode(fields), **headers))


def signed_in(server: Program, access: Access) -> Browser:
    """By a link, as ``keyquorum console login`` prints it."""
    remote = Remote(server.url, access.region, access.key_id, access.secret)
    url, _ = new_link(remote)
    browser = Browser(server)
    page = browser.get(urlsplit(url).path)
    assert page.status == 200, page.text
    page = browser.send("POST", "/console/session", urlencode({"token": page.hidden()["token"]}))
    assert page.status == 303, page.text
    return browser
