# SPDX-License-Identifier: Apache-2.0
"""Writes the site's reference: a page for each operation, from keyquorum.reference, which the console's pages are made
from too. The test of the site runs the program of every page."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from keyquorum.reference import COMMON, FAMILIES, PAGES, Field, Page
from operation_programs import program

INDEX: Final = """\
# Operations

What AWS's model of its KMS API has, and what this server does with it. Each page has the members of request and answer
with their limits, the key states in which the operation works, the permissions it needs, its errors, and an example
that runs as it stands. Which operation takes which kind of key: [operations and key specs](../operations.md).
"""

COMMON_PAGE: Final = """\
# Errors of any request

Beside its own errors, each operation may answer one of these.

{rows}
"""


def pages() -> dict[str, str]:
    """File name -> Markdown."""
    return {
        "index.md": INDEX + "".join(_family(name, purposes) for name, purposes in FAMILIES.items()),
        "common-errors.md": COMMON_PAGE.format(rows=_table(("error", "means"), _codes(COMMON.items()))),
        **{f"{name}.md": page(told) for name, told in PAGES.items()},
    }


def _family(name: str, purposes: Mapping[str, str]) -> str:
    rows: list[tuple[str, ...]] = [
        (f"[{operation}]({operation}.md)", purpose) for operation, purpose in purposes.items()
    ]
    return f"\n## {name}\n\n{_table(('operation', ''), rows)}\n"


def page(told: Page) -> str:
    states: list[tuple[str, ...]] = [(state, "works" if not error else f"`{error}`") for state, error in told.states]
    needs: list[tuple[str, ...]] = [(f"`{each.action}`", each.on, each.when or "always") for each in told.permissions]
    parts = [
        f"# {told.operation}",
        told.purpose,
        f"The key's usage must be {told.usage}." if told.usage else "",
        "## Request",
        _members(told.request) or "No members.",
        "## Answer",
        _members(told.response, asked=False) or "Empty.",
        "## Example",
        _example(told),
        "## Key states" if states else "",
        _table(("state", ""), states) if states else "",
        "## Permissions",
        _table(("action", "on", "when"), needs),
        "## Errors",
        _table(("error", "means"), _codes(told.errors)) if told.errors else "",
        "And those that [any request may meet](common-errors.md).",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _codes(errors: Iterable[tuple[str, str]]) -> list[tuple[str, ...]]:
    return [(f"`{code}`", meaning) for code, meaning in errors]


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


# -- members


def _members(fields: tuple[Field, ...], *, asked: bool = True) -> str:
    rows = [_row(path, field, asked=asked) for path, field in _flat(fields)]
    return _table(("member", "type", "", "limits") if asked else ("member", "type", ""), rows) if rows else ""


def _flat(fields: tuple[Field, ...], before: str = "") -> Iterator[tuple[str, Field]]:
    """With the members of structures, and of lists of them, under their own."""
    for field in fields:
        yield before + field.name, field
        yield from _flat(field.fields, f"{before}{field.name}.")
        if field.element is not None:
            yield from _flat(field.element.fields, f"{before}{field.name}[].")


def _row(path: str, field: Field, *, asked: bool) -> tuple[str, ...]:
    name = f"`{path}`" + (" (required)" if field.required else "")
    about = " ".join(filter(None, (field.about, "Never logged." if field.sensitive else "")))
    return (name, field.type, about, _limits(field)) if asked else (name, field.type, about)


def _limits(field: Field) -> str:
    own = [field.limits, f"matches `{field.pattern}`" if field.pattern else "", ", ".join(field.enum)]
    parts = [
        f"each {what}: {_limits(part)}"
        for what, part in (("entry", field.element), ("key", field.key), ("value", field.value))
        if part is not None and _limits(part)
    ]
    return "; ".join(filter(None, own + parts))


# -- the example


def _example(told: Page) -> str:
    if not told.example.works:
        return "This server answers `UnsupportedOperationException`, whatever is asked."
    return (
        f"With the endpoint and an access key in the environment ([how](../start.md)):\n\n```python\n{program(told)}```"
    )
