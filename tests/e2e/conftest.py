# SPDX-License-Identifier: Apache-2.0
"""The servers of the end-to-end tests. One production server serves a whole module; tests make keys of their own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from roles import ALICE, BOB
from servers import Production, Program

_ALL_OF_KMS = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*"}}'
_TRUST = (
    '{"Version":"2012-10-17","Statement":'
    '{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"sts:AssumeRole"}}'
)
_SEED = f"""
[[account]]
id = "444455556666"

[[user]]
name = "Alice"
access_key_id = "{ALICE.key_id}"
secret_access_key = "{ALICE.secret}"
policy = '{_ALL_OF_KMS}'

[[user]]
name = "Bob"
account = "444455556666"
access_key_id = "{BOB.key_id}"
secret_access_key = "{BOB.secret}"
policy = '{_ALL_OF_KMS}'

[[role]]
name = "Clerk"
path = "/path/to/"
trust = '{_TRUST}'
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    """A production server that also knows Alice, of its own account, and Bob, of another, whose policies allow all of
    KMS there; and a role."""
    directory = tmp_path_factory.mktemp("server")
    seed = directory / "seed.toml"
    seed.write_text(_SEED)
    server = Production(directory, "--seed", str(seed))
    yield server
    server.discard()


@pytest.fixture(scope="module")
def kms(server: Production) -> Any:
    """The account's root."""
    return server.client()


@pytest.fixture(scope="module")
def alice(server: Production) -> Any:
    return server.client(access=ALICE)


@pytest.fixture(scope="module")
def bob(server: Production) -> Any:
    return server.client(access=BOB)


@pytest.fixture
def key(kms: Any) -> Any:
    """The KeyMetadata of a new key."""
    return kms.create_key()["KeyMetadata"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Production]]:
    """``start("--workers", "2")``: a production server of this test's own."""
    started: list[Production] = []

    def begin(*options: str) -> Production:
        started.append(Production(tmp_path, *options))
        return started[-1]

    yield begin
    for server in started:
        server.discard()


@pytest.fixture
def start_dev(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """``start_dev("--seed", ...)``: a development server of this test's own."""
    started: list[Program] = []

    def begin(*options: str) -> Program:
        started.append(Program(tmp_path, "--dev", *options))
        return started[-1]

    yield begin
    for server in started:
        server.stop()
