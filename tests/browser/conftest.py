# SPDX-License-Identifier: Apache-2.0
"""A browser, and a server with Alice, who may do everything, for all tests of the console in a browser."""

import json
from collections.abc import Iterator

import pytest
from browsing import launched
from playwright.sync_api import Browser
from roles import ALICE, allow, document
from servers import Production

_SEED = f"""
[[user]]
name = "Alice"
access_key_id = "{ALICE.key_id}"
secret_access_key = "{ALICE.secret}"
policy = {json.dumps(document(allow("*")))}
"""


@pytest.fixture(scope="module")  # Playwright has an event loop of its own, which others must not find
def chromium() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    directory = tmp_path_factory.mktemp("console")
    seed = directory / "seed.toml"
    seed.write_text(_SEED)
    server = Production(directory, "--seed", str(seed))
    yield server
    server.discard()
