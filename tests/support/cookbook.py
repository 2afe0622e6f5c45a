# SPDX-License-Identifier: Apache-2.0
"""Reads docs/cookbook.md: each section with a table of requests is a recipe. The page itself tells its notation.

## 1. A title
| there is | with |            what the policies take for granted
Key policy of `orders`:        and the JSON that follows
| who | request | answer |     tried from top to bottom
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

PAGE: Final = Path(__file__).parents[2] / "docs" / "cookbook.md"

_CAPTION: Final = re.compile(
    r"(Key policy of|Trust policy of role|Policy of user|Policy of group|Policy of role|Managed policy) `([^`]+)`:"
)
_FENCE: Final = re.compile(r"(?:^(?P<caption>[^\n]+)\n\n)?^```json\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_TOLD: Final = re.compile(r"(account|audience|boundary|group|ID|path|tag) \S+|alias/\S+|[A-Z][A-Z0-9_]+ [A-Z_]+")
_THINGS: Final = ("there is", "with")
_ROWS: Final = ("who", "request", "answer")


class Block(NamedTuple):
    """A policy. ``kind`` is its caption without the name."""

    kind: str
    name: str
    text: str


class Row(NamedTuple):
    who: str
    request: str
    answer: str


class Recipe(NamedTuple):
    """``things``: kind and name -> the words after it, for users, groups, roles, keys and providers."""

    title: str
    things: dict[tuple[str, str], list[str]]
    blocks: list[Block]
    rows: list[Row]


def recipes(page: str) -> list[Recipe]:
    """All sections that have policies or a table of requests. Raises ValueError for what it cannot read."""
    sections = re.split(r"^## ", page, flags=re.MULTILINE)[1:]
    found = [_recipe(section) for section in sections]
    return [recipe for recipe in found if recipe.blocks or recipe.rows]


def _recipe(section: str) -> Recipe:
    title, _, body = section.partition("\n")
    blocks = [_block(title, match["caption"] or "", match["text"]) for match in _FENCE.finditer(body)]
    things: dict[tuple[str, str], list[str]] = {}
    for thing, words in _table(body, _THINGS):
        kind, name = thing.split()
        told = things[kind, name] = [text.strip() for text in words.split(",") if text.strip()]
        if not all(map(_TOLD.fullmatch, told)):
            raise ValueError(f"{title}: {words!r} is more than tests understand")
    return Recipe(title, things, blocks, [Row(*cells) for cells in _table(body, _ROWS)])


def _block(title: str, caption: str, text: str) -> Block:
    match = _CAPTION.fullmatch(caption)
    if match is None:
        raise ValueError(f"{title}: JSON under {caption!r}, which is no caption")
    return Block(match[1], match[2], text)


def _table(body: str, header: tuple[str, ...]) -> list[list[str]]:
    """The rows of all tables with this header; backquotes are for the eye."""
    rows: list[list[str]] = []
    inside = False
    for line in body.splitlines():
        cells = [cell.strip().replace("`", "") for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if tuple(cells) == header:
            inside = True
        elif not cells:
            inside = False
        elif inside and set(line) - set("|-: "):
            rows.append(cells)
    return rows


class Words(NamedTuple):
    """A request, taken apart. ``names`` are those of keys, aliases, users and roles; ``capitals`` key specs, algorithms
    and the like; ``operations`` those of a grant; ``pairs`` an encryption context, tags, or what else has a name. The
    last three are its circumstances."""

    operation: str
    names: list[str]
    capitals: list[str]
    operations: list[str]
    pairs: dict[str, str]
    number: int | None
    multi_region: bool
    source: str | None
    secure: bool
    at: str | None


_SMALL: Final = {"to", "of", "days", "multi-Region"}


def words(request: str) -> Words:
    phrase, *circumstances = request.split(", ")
    operation, *rest = phrase.split()
    told = dict(text.split(" ", 1) for text in circumstances)
    capitals = [word for word in rest if re.fullmatch(r"[A-Z0-9_]*[A-Z][A-Z0-9_]*", word)]
    operations = [word for word in rest if re.fullmatch(r"[A-Z][a-z]\w+", word)]
    pairs = [word for word in rest if "=" in word]
    numbers = [word for word in rest if word.isdigit()]
    other = {*_SMALL, *capitals, *operations, *pairs, *numbers}
    return Words(
        operation=operation,
        names=[word for word in rest if word not in other],
        capitals=capitals,
        operations=operations,
        pairs=dict(pair.split("=", 1) for pair in pairs),
        number=int(numbers[0]) if numbers else None,
        multi_region="multi-Region" in rest,
        source=told.get("from"),
        secure="by" not in told,
        at=told.get("at"),
    )


def weakened(recipe: Recipe) -> Iterator[tuple[str, Recipe]]:
    """The recipe without one of its statements, or without one condition of a statement, each in turn, and what is
    missing. A statement is not taken out but made to be about an action that there is not, so that none is left empty.
    """
    for i, block in enumerate(recipe.blocks):
        for j, what, statement in _weaker(block):
            document = json.loads(block.text)
            statements = _statements(document)
            document["Statement"] = [*statements[:j], statement, *statements[j + 1 :]]
            blocks = [*recipe.blocks[:i], block._replace(text=json.dumps(document)), *recipe.blocks[i + 1 :]]
            yield f"{block.kind} {block.name}: {what}", recipe._replace(blocks=blocks)


def _weaker(block: Block) -> Iterator[tuple[int, str, dict[str, Any]]]:
    for j, statement in enumerate(_statements(json.loads(block.text))):
        title = statement.get("Sid", f"statement {j + 1}")
        rest = {name: value for name, value in statement.items() if name not in ("Action", "NotAction")}
        yield j, title, {**rest, "Action": "sts:None" if block.kind.startswith("Trust") else "kms:None"}
        conditions = statement.get("Condition", {})
        for operator, keys in conditions.items():
            for key in keys:
                fewer = {name: value for name, value in keys.items() if name != key}
                others = {name: value for name, value in {**conditions, operator: fewer}.items() if value}
                yield j, f"{title}, {key}", {**statement, "Condition": others}


def _statements(document: dict[str, Any]) -> list[dict[str, Any]]:
    found = document["Statement"]
    return found if isinstance(found, list) else [found]
