# SPDX-License-Identifier: Apache-2.0
"""One request as a Python program with boto3, and as commands for bash with the AWS CLI and with curl. It runs nothing.

Whatever the members hold, they are quoted for the language at hand and written in printable ASCII, so that no text of a
stranger becomes a command, and none looks like what it is not. Credentials are never written: all three take them from
the environment.
"""

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any, Final

from keyquorum.reference.shapes import Field, request_fields

_WIDTH: Final = 80
_LOADED: Final = ("file://", "fileb://", "http://", "https://")
"""The AWS CLI takes texts that begin so for places to read the value from."""


def snake(name: str) -> str:
    """``GetKeyPolicy`` -> ``get_key_policy``, as botocore names methods."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def boto3_program(operation: str, members: Mapping[str, Any], endpoint: str, region: str) -> str:
    """A Python program. ``members`` are as on the wire, blobs in base64."""
    fields = {field.name: field for field in request_fields(operation)}
    arguments = [f"    {name}={_python(value, fields.get(name))},\n" for name, value in members.items()]
    body = "".join(arguments)
    between = "\n" if body else ""
    imports = "import base64\n\n" if "base64.b64decode(" in body else ""
    return (
        f"{imports}import boto3\n\n"
        f'kms = boto3.client("kms", endpoint_url={endpoint!a}, region_name={region!a})\n'
        f"answer = kms.{snake(operation)}({between}{body})\nprint(answer)\n"
    )


def _python(value: Any, field: Field | None) -> str:
    kind = None if field is None else field.kind
    if isinstance(value, dict):
        parts = {part.name: part for part in field.fields} if field is not None else {}
        pairs = [f"{name!a}: {_python(part, parts.get(name))}" for name, part in value.items()]
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        element = None if field is None else field.element
        return f"[{', '.join(_python(part, element) for part in value)}]"
    if kind == "blob" and isinstance(value, str):
        return f"base64.b64decode({value!a})"
    return ascii(value)


def cli_command(operation: str, members: Mapping[str, Any], endpoint: str, region: str) -> str:
    """A command for bash with version 1 or 2 of the AWS CLI."""
    words = [f"aws kms {_dashed(operation)}"]
    words += [f"--endpoint-url {shlex.quote(endpoint)}", f"--region {shlex.quote(region)}"]
    in_json: dict[str, Any] = {}
    kinds = {field.name: field.kind for field in request_fields(operation)}
    for name, value in members.items():
        option = f"--{_dashed(name)}"
        if kinds.get(name) == "blob":
            # The two versions do not agree on what a text would mean here; on a file's bytes they do.
            words.append(f"{option} fileb://<(base64 -d <<< {shlex.quote(str(value))})")
        elif isinstance(value, bool):
            words.append(option if value else f"--no-{_dashed(name)}")
        elif isinstance(value, (dict, list)):
            words.append(f"{option} {shlex.quote(json.dumps(value))}")
        elif isinstance(value, str) and not _is_plain(value):
            in_json[name] = value
        else:
            words.append(f"{option}={shlex.quote(str(value))}" if str(value)[:1] == "-" else f"{option} {_word(value)}")
    if in_json:
        words.append(f"--cli-input-json {shlex.quote(json.dumps(in_json))}")
    return _command(words)


def _dashed(name: str) -> str:
    return snake(name).replace("_", "-")


def _word(value: Any) -> str:
    return shlex.quote(str(value))


def _is_plain(text: str) -> bool:
    """Whether the CLI takes the text for itself, and a reader sees all of it."""
    return text.isascii() and text.isprintable() and not text.startswith(_LOADED)


def curl_command(operation: str, members: Mapping[str, Any], endpoint: str, region: str) -> str:
    """A command for bash with curl 7.75 or newer."""
    return _command(
        [
            f"curl --silent --show-error {shlex.quote(endpoint.rstrip('/') + '/')}",
            f"--aws-sigv4 {shlex.quote(f'aws:amz:{region}:kms')}",
            '--user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY"',
            '${AWS_SESSION_TOKEN:+--header "X-Amz-Security-Token: $AWS_SESSION_TOKEN"}',
            "--header 'Content-Type: application/x-amz-json-1.1'",
            f"--header {shlex.quote(f'X-Amz-Target: TrentService.{operation}')}",
            f"--data-raw {shlex.quote(json.dumps(dict(members)))}",
        ]
    )


def _command(words: list[str]) -> str:
    one = " ".join(words)
    return f"{one}\n" if len(one) <= _WIDTH else " \\\n    ".join(words) + "\n"
