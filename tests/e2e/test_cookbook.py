# SPDX-License-Identifier: Apache-2.0
"""The policy cookbook, tried: every recipe's tables, row by row, by signed requests through the whole request path."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cookbook
import pytest
from botocore.exceptions import ClientError
from cookbook import Recipe, Row
from cookbook_world import World
from servers import Production, signed_request

from keyquorum.app import Service
from keyquorum.config import Settings

pytestmark = pytest.mark.slow

RECIPES = cookbook.recipes(cookbook.PAGE.read_text(encoding="utf-8"))

_SEED = '[[account]]\nid = "444455556666"\n'


@contextmanager
def world_of(recipe: Recipe, directory: Path, *, bypass: bool = False) -> Iterator[World]:
    directory.mkdir(exist_ok=True)
    seed = directory / "seed.toml"
    seed.write_text(_SEED)
    service = Service(Settings(data=directory / "data", seed=seed))
    try:
        yield World(service, recipe, bypass=bypass)
    finally:
        service.close()


@pytest.mark.parametrize("recipe", RECIPES, ids=[recipe.title for recipe in RECIPES])
def test_every_row_is_answered_as_the_table_says(recipe: Recipe, tmp_path: Path) -> None:
    assert recipe.rows, "a recipe without a table"
    with world_of(recipe, tmp_path) as world:
        found = [row._replace(answer=world.answer(row)) for row in recipe.rows]
    assert found == recipe.rows


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=[recipe.title for recipe in RECIPES])
def test_every_statement_and_every_condition_is_needed_by_a_row(recipe: Recipe, tmp_path: Path) -> None:
    needless = []
    for number, (what, weaker) in enumerate(cookbook.weakened(recipe)):
        with world_of(weaker, tmp_path / str(number), bypass=True) as world:
            if all(_answer(world, row) == row.answer for row in recipe.rows):
                needless.append(what)
    assert needless == []


def _answer(world: World, row: Row) -> str:
    try:
        return world.answer(row)
    except ClientError as error:  # who asks cannot even have a session
        return str(error)


HTTPS = {"X-Forwarded-Proto": "https"}


@pytest.mark.parametrize(
    ("options", "headers", "status"),
    [
        (("--trusted-proxy", "127.0.0.1"), {"X-Forwarded-For": "203.0.113.7", **HTTPS}, 200),
        (("--trusted-proxy", "127.0.0.1"), {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "http"}, 400),
        (("--trusted-proxy", "127.0.0.1"), {"X-Forwarded-For": "203.0.113.7, 198.51.100.7", **HTTPS}, 400),
        (("--trusted-proxy", "127.0.0.1"), {}, 400),
        ((), {"X-Forwarded-For": "203.0.113.7", **HTTPS}, 400),
    ],
)
def test_what_the_recipe_for_networks_says_of_proxies(
    start: Callable[..., Production], options: tuple[str, ...], headers: dict[str, str], status: int
) -> None:
    (policy,) = [block.text for recipe in RECIPES for block in recipe.blocks if block.name == "hr"]
    server = start(*options)
    key = server.client().create_key(Policy=policy)["KeyMetadata"]["KeyId"]
    body = json.dumps({"KeyId": key, "Plaintext": "c2VjcmV0"}).encode()
    answer = server.raw(signed_request(server.url, server.root, "Encrypt", body, extra=headers))
    assert answer.status == status, answer.body
