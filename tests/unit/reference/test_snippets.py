# SPDX-License-Identifier: Apache-2.0
"""Whatever a request holds, its snippets are that request and nothing else. tests/e2e sends them."""

import ast
import base64
import json
import subprocess
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keyquorum.reference import boto3_program, cli_command, curl_command

_URL, _REGION = "http://127.0.0.1:8085", "eu-central-1"
HOSTILE = (
    "$(touch /tmp/x) `id` ${HOME} $HOME",
    "'; rm -rf / #",
    '"; import os; os.abort() #',
    "\\' \\\\ \\n",
    "line\nbreak\ttab",
    "<script>alert(1)</script>",
    "file:///etc/passwd",
    "--endpoint-url",
    "\u202e reversed \u200b and unseen",
    "",
    "\U0001f511",
)


def _words(command: str) -> list[str]:
    """What bash makes of a command: it is run with a function in place of the program that it names."""
    script = 'aws() { printf "%s\\0" "$@"; }; curl() { aws "$@"; }\nunset AWS_SESSION_TOKEN\n' + command
    done = subprocess.run(["bash", "-u"], input=script.encode(), capture_output=True, check=True, timeout=20, env=_ENV)
    assert done.stderr == b""
    return [word.decode() for word in done.stdout.split(b"\0")[:-1]]


_ENV = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "secret", "PATH": "/usr/bin:/bin"}


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_stays_a_text_in_the_shell(text: str) -> None:
    members = {"KeyId": "k", "Description": text}
    words = _words(curl_command("UpdateKeyDescription", members, _URL, _REGION))
    assert json.loads(words[words.index("--data-raw") + 1]) == members
    command = cli_command("UpdateKeyDescription", members, _URL, _REGION)
    assert command.isascii()
    words = _words(command)
    if "--cli-input-json" in words:
        assert json.loads(words[words.index("--cli-input-json") + 1]) == {"Description": text}
    else:
        assert {f"--description={text}"} & set(words) or words[words.index("--description") + 1] == text
    assert not any(word.startswith(("file://", "fileb://")) for word in words)


def test_a_hostile_endpoint_stays_a_text() -> None:
    words = _words(cli_command("ListKeys", {}, "http://x/';id;'$(id)", _REGION))
    assert words[words.index("--endpoint-url") + 1] == "http://x/';id;'$(id)"
    assert "http://x/$(id)/" in _words(curl_command("ListKeys", {}, "http://x/$(id)", _REGION))


_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(_TEXTS, st.binary(max_size=20), st.dictionaries(_TEXTS, _TEXTS, max_size=3))
@example("'''\"\"\"\\", b"", {"__import__('os')": "{x}"})
def test_a_program_has_the_values_and_nothing_more(text: str, blob: bytes, context: dict[str, str]) -> None:
    members = {"KeyId": text, "Plaintext": base64.b64encode(blob).decode(), "EncryptionContext": context}
    program = boto3_program("Encrypt", members, text, _REGION)
    assert program.isascii()
    tree = ast.parse(program)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert len(calls) == 4  # boto3.client, kms.encrypt, base64.b64decode, print
    encrypt = next(c for c in calls if isinstance(c.func, ast.Attribute) and c.func.attr == "encrypt")
    values = {keyword.arg: keyword.value for keyword in encrypt.keywords}
    assert ast.literal_eval(values["KeyId"]) == text
    assert ast.literal_eval(values["EncryptionContext"]) == context
    decoded: Any = values["Plaintext"]
    assert base64.b64decode(ast.literal_eval(decoded.args[0])) == blob


def test_nothing_names_the_credentials() -> None:
    for write in (boto3_program, cli_command, curl_command):
        assert "AKIA" not in write("ListKeys", {"Limit": 1}, _URL, _REGION)
