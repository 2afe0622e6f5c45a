# SPDX-License-Identifier: Apache-2.0
"""An app that is made when it is first asked for: once, and again only if it could not be made."""

import asyncio
import threading
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp

from keyquorum.server.asgi import OnDemand

FIRST = 8


async def ask(app: OnDemand) -> None:
    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(_message: Any) -> None:
        pass

    await app({"type": "http", "method": "GET", "path": "/", "headers": []}, receive, send)


def test_it_is_made_once_however_many_ask_first() -> None:
    made: list[ASGIApp] = []
    all_have_asked = threading.Event()

    def make() -> ASGIApp:
        all_have_asked.wait(30)
        made.append(PlainTextResponse("made"))
        return made[-1]

    async def main() -> None:
        app = OnDemand(make)
        asking = [asyncio.create_task(ask(app)) for _ in range(FIRST)]
        await asyncio.sleep(0)  # each has come as far as it can
        await asyncio.sleep(0)
        all_have_asked.set()
        await asyncio.gather(*asking)

    asyncio.run(main())
    assert len(made) == 1


def test_what_could_not_be_made_is_tried_again() -> None:
    tried: list[int] = []

    def make() -> ASGIApp:
        tried.append(len(tried))
        if len(tried) == 1:
            raise MemoryError
        return PlainTextResponse("made")

    async def main() -> None:
        app = OnDemand(make)
        with pytest.raises(MemoryError):
            await ask(app)
        await ask(app)
        await ask(app)

    asyncio.run(main())
    assert len(tried) == 2
