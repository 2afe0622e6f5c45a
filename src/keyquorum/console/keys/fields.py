# SPDX-License-Identifier: Apache-2.0
"""What forms say, as members of requests. Nothing is checked here that the operation checks by itself."""

from typing import Any, Final
from urllib.parse import quote

from starlette.datastructures import FormData
from starlette.requests import Request

ALIAS: Final = "alias/"


def key_of(request: Request) -> str:
    key_id: str = request.path_params["key_id"]
    return key_id


def at(key_id: str, rest: str = "") -> str:
    """The path of a key's page, or of one below it."""
    return f"/console/keys/{quote(key_id, safe='')}{rest}"


def text(form: FormData, name: str) -> str:
    """A field without the blanks around it; empty for one that is not there."""
    return str(form.get(name, "")).strip()


def raw(form: FormData, name: str) -> str:
    """A field as it was typed, with the line ends that browsers send made into one character again."""
    return str(form.get(name, "")).replace("\r\n", "\n")


def number(form: FormData, name: str) -> int | None:
    """None for a field that is empty or no number."""
    given = text(form, name)
    return int(given) if given.isascii() and given.isdigit() and len(given) < 10 else None


def alias_name(given: str) -> str:
    return given if not given or given.startswith(ALIAS) else ALIAS + given


def tags(form: FormData) -> list[dict[str, str]]:
    """The pairs of the fields tag_key and tag_value; those without a key are left out."""
    pairs = zip(form.getlist("tag_key"), form.getlist("tag_value"), strict=False)
    return [{"TagKey": str(key).strip(), "TagValue": str(value)} for key, value in pairs if str(key).strip()]


def pairs(given: str) -> dict[str, str]:
    """``name=value``, one a line."""
    found = [line.partition("=") for line in given.splitlines() if line.strip()]
    return {name.strip(): value.strip() for name, _, value in found}


def without_nothing(members: dict[str, Any]) -> dict[str, Any]:
    """The members that have a value."""
    return {name: value for name, value in members.items() if value not in (None, "", [], {})}
