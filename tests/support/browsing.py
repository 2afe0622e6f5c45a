# SPDX-License-Identifier: Apache-2.0
"""Debian's Chromium, driven by Playwright, on pages of the console; and a relay that keeps all that a browser sent."""

import json
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import axe_playwright_python
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from servers import Access

_AXE: Final = Path(axe_playwright_python.__file__).parent / "axe.min.js"
#: Of axe's four.
_SERIOUS: Final = ["serious", "critical"]
_RUN: Final = """async (impacts) => {
  const found = await axe.run({ resultTypes: ["violations"], preload: false });
  return found.violations.filter((each) => impacts.includes(each.impact)).flatMap((each) =>
    each.nodes.map((node) => `${each.id}: ${node.html}: ${node.failureSummary}`));
}"""

DESKTOP: Final = {"width": 1280, "height": 800}
PHONE: Final = {"width": 360, "height": 740}


def program() -> str:
    """Chromium; skips where there is none, which in CI is a failure."""
    found = shutil.which("chromium")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is not installed")
        pytest.skip("needs Debian's chromium")
    return found


@contextmanager
def launched() -> Iterator[Browser]:
    executable = program()
    with sync_playwright() as playwright:
        # Chromium's own sandbox refuses to run as root; what is looked at here are our own pages.
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


def context_of(browser: Browser, origin: str, *, dark: bool = False, phone: bool = False) -> BrowserContext:
    """A browser that nobody has used yet. Whatever a page's policy forbids it to do fails the test."""
    return browser.new_context(
        base_url=origin,
        viewport=PHONE if phone else DESKTOP,  # type: ignore[arg-type]  # a literal of its ViewportSize
        is_mobile=phone,
        has_touch=phone,
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",  # what is on its way from one colour to another is neither
        locale="en-GB",
        timezone_id="UTC",
    )


class Watched:
    """A page whose errors are kept: scripts that failed, and what the Content-Security-Policy stopped."""

    def __init__(self, context: BrowserContext) -> None:
        self.page: Page = context.new_page()
        self.page.set_default_timeout(20_000)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._said)

    def _said(self, message: Any) -> None:
        # Chromium tells of every answer that is no success, which is no error of the page.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.errors.append(message.text)

    def sign_in(self, access: Access) -> None:
        """With an access key, by the page that signs."""
        self.page.goto("/console/sign-in")
        self.page.get_by_label("Access key ID").fill(access.key_id)
        self.page.get_by_label("Secret access key").fill(access.secret)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_role("button", name="Sign out").wait_for()

    def findings(self) -> list[str]:
        """What axe finds serious or critical on this page (WCAG 2.2 A and AA, and best practice)."""
        if self.page.evaluate("typeof axe") == "undefined":
            self.page.evaluate(_AXE.read_text())
        found: list[str] = self.page.evaluate(_RUN, _SERIOUS)
        return found

    def is_wider_than_the_screen(self) -> bool:
        size = self.page.viewport_size  # not what the page has of it: a phone's browser makes room for what is wider
        width: int = self.page.evaluate("document.documentElement.scrollWidth")
        return size is not None and width > size["width"]


class Relay:
    """Listens where the browser goes, passes everything on to the server, and keeps what the browser sent."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.sent = bytearray()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.origin = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, socket.create_connection(("127.0.0.1", self._target)) as server:
            back = threading.Thread(target=_pass_on, args=(server, connection, None), daemon=True)
            back.start()
            _pass_on(connection, server, self.sent)
            back.join()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def _pass_on(source: socket.socket, target: socket.socket, keep: bytearray | None) -> None:
    try:
        while data := source.recv(65_536):
            if keep is not None:
                keep += data
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


def storage_of(page: Page) -> str:
    """All that the origin keeps in the browser, as text; of IndexedDB the names of its databases."""
    return json.dumps(
        page.evaluate(
            "async () => [{...localStorage}, {...sessionStorage}, document.cookie, "
            "(await indexedDB.databases()).map((each) => each.name), (await caches.keys())]"
        )
    )
