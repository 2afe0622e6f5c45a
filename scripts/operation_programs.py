# SPDX-License-Identifier: Apache-2.0
"""The example of an operation as one Python program: it makes what the example needs, and then calls the operation."""

import json
import re
from base64 import b64decode
from collections.abc import Mapping
from typing import Any, Final

from keyquorum.reference import PAGES, Page
from keyquorum.reference.snippets import snake

_PLACEHOLDER: Final = re.compile(r"\$\{(wrapped:)?([a-z]+(?:\.[A-Za-z]+)*)\}")
_WIDTH: Final = 96
_INDENT: Final = "    "

#: What a line of the program needs before it, by what occurs in it.
_IMPORTS: Final = {
    "json.": "import json",
    "secrets.": "import secrets",
    "boto3.": "import boto3",
    "OAEP(": "from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP",
    "SHA256(": "from cryptography.hazmat.primitives.hashes import SHA256",
    "load_der_public_key(": "from cryptography.hazmat.primitives.serialization import load_der_public_key",
}

_WRAPPING: Final = """\
wrapping = load_der_public_key({public_key})
material = secrets.token_bytes(32)  # keep a copy elsewhere
wrapped = wrapping.encrypt(material, OAEP(MGF1(SHA256()), SHA256(), None))
"""


def program(told: Page) -> str:
    calls = [(step.name, step.operation, step.members) for step in told.example.needs]
    calls.append(("answer", told.operation, told.example.members))
    lines = ['kms = boto3.client("kms")\n']
    if any("${unique}" in str(members) for _, _, members in calls):
        lines.append("unique = secrets.token_hex(4)\n")
    for name, operation, members in calls:
        lines += [
            _WRAPPING.format(public_key=_path(key)) for wrapped, key in _PLACEHOLDER.findall(str(members)) if wrapped
        ]
        lines.append(_call(name, operation, members))
    if told.response:
        lines.append("print(answer)\n")
    body = "".join(lines)
    imports = [line for used, line in _IMPORTS.items() if used in body]
    ours = imports.index("import boto3")
    return "\n".join([*imports[:ours], *[""] * bool(ours), *imports[ours:], "", body])


def _call(name: str, operation: str, members: Mapping[str, Any]) -> str:
    kinds = {field.name: field.kind for field in PAGES[operation].request}
    arguments = [f"{member}={_literal(value, kinds[member])}" for member, value in members.items()]
    return f"{name} = " + _wrapped(f"kms.{snake(operation)}(", arguments, ")", before=len(name) + 3) + "\n"


def _wrapped(opening: str, parts: list[str], closing: str, *, before: int = 0) -> str:
    """On one line, or each part on its own."""
    one = opening + ", ".join(parts) + closing
    if before + len(one) <= _WIDTH and "\n" not in one:
        return one
    inside = "".join(f"{part},\n" for part in parts)
    return f"{opening}\n{_indented(inside)}{closing}"


def _indented(text: str) -> str:
    return "".join(_INDENT + line for line in text.splitlines(keepends=True))


def _literal(value: Any, kind: str = "") -> str:
    if isinstance(value, dict):
        return _wrapped("{", [f"{_literal(name)}: {_literal(part)}" for name, part in value.items()], "}", before=24)
    if isinstance(value, list):
        return _wrapped("[", [_literal(part) for part in value], "]", before=24)
    if not isinstance(value, str):
        return repr(value)
    whole = _PLACEHOLDER.fullmatch(value)
    if whole is not None:
        return "wrapped" if whole[1] else _path(whole[2])
    if kind == "blob":
        return "b" + _quoted(b64decode(value).decode("ascii"))
    if value.startswith("{"):
        return f"json.dumps({_literal(json.loads(value))})"
    if _PLACEHOLDER.search(value) is None:
        return _quoted(value)
    return "f" + _quoted(_PLACEHOLDER.sub(lambda found: f"{{{_path(found[2])}}}".replace('"', "'"), value))


def _quoted(text: str) -> str:
    """JSON's strings, of printable ASCII, are Python's too."""
    return json.dumps(text)


def _path(name: str) -> str:
    """The expression for a placeholder: a member of an answer, or what is made before."""
    if name == "elsewhere":
        return '"eu-west-1"'
    first, *members = name.split(".")
    return first + "".join(f'["{member}"]' for member in members)
