# SPDX-License-Identifier: Apache-2.0
"""Every example of the reference works against a development server, with exactly the permissions that its page names;
and the same request works as boto3, as the AWS CLI and as curl."""

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from roles import ALICE
from servers import REGION, Access, Production, Program, client, environment, signed_request

from keyquorum.reference import PAGES, boto3_program, cli_command, curl_command, prepare

ANYBODY = Access("AKIAEXAMPLE000000001", "a secret that a development server does not ask for")
WORKING = [name for name, page in PAGES.items() if page.available]
#: Starting the AWS CLI takes a second: one of each kind of member.
SAMPLED = ("Encrypt", "Decrypt", "CreateKey", "CreateGrant", "Verify", "PutKeyPolicy", "ListKeys", "ImportKeyMaterial")


class Refused(Exception):
    pass


def _caller(server: Program, access: Access) -> Any:
    def call(operation: str, members: dict[str, Any]) -> dict[str, Any]:
        answer = server.raw(signed_request(server.url, access, operation, json.dumps(members).encode()))
        told: dict[str, Any] = json.loads(answer.body or b"{}")
        if answer.status != 200:
            raise Refused(told)
        return told

    return call


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    server = Program(tmp_path_factory.mktemp("dev"), "--dev")
    yield server
    server.stop()


@pytest.mark.parametrize("operation", PAGES)
def test_the_example_works(dev: Program, operation: str) -> None:
    call, page = _caller(dev, ANYBODY), PAGES[operation]
    members = prepare(page.example, call, REGION)
    if not page.available:
        with pytest.raises(Refused, match="UnsupportedOperationException"):
            call(operation, members)
        return
    answer = call(operation, members)
    assert set(answer) <= {field.name for field in page.response}


@pytest.mark.slow
def test_the_permissions_are_enough_and_needed(server: Production, kms: Any) -> None:
    iam, root = server.client("iam"), _caller(server, server.root)
    call = _caller(server, ALICE)
    for operation in WORKING:
        page = PAGES[operation]
        members = prepare(page.example, root, REGION)
        for actions, allowed in (([], False), ([p.action for p in page.permissions], True)):
            statement = {"Effect": "Allow", "Action": actions or ["kms:NoSuchThing"], "Resource": "*"}
            document = json.dumps({"Version": "2012-10-17", "Statement": statement})
            iam.put_user_policy(UserName="Alice", PolicyName="seed", PolicyDocument=document)
            if allowed:
                call(operation, members)
            else:
                with pytest.raises(Refused, match="AccessDenied"):
                    call(operation, members)


@pytest.mark.slow
@pytest.mark.parametrize("operation", WORKING)
def test_the_example_works_as_boto3(dev: Program, operation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    members = prepare(PAGES[operation].example, _caller(dev, ANYBODY), REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ANYBODY.key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", ANYBODY.secret)
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(boto3_program(operation, members, dev.url, REGION), names)
    assert names["answer"]["ResponseMetadata"]["HTTPStatusCode"] == 200


def _bash(command: str, home: Path) -> str:
    bin_directory = str(Path(sys.executable).parent)
    done = subprocess.run(
        ["bash", "-eu"],
        input=command,
        env={
            **environment(),
            "AWS_ACCESS_KEY_ID": ANYBODY.key_id,
            "AWS_SECRET_ACCESS_KEY": ANYBODY.secret,
            "AWS_MAX_ATTEMPTS": "1",
            "HOME": str(home),
            "PATH": f"{bin_directory}:{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("operation", WORKING)
def test_the_example_works_as_curl(dev: Program, operation: str, tmp_path: Path) -> None:
    members = prepare(PAGES[operation].example, _caller(dev, ANYBODY), REGION)
    answer = json.loads(_bash(curl_command(operation, members, dev.url, REGION), tmp_path) or "{}")
    assert set(answer) <= {field.name for field in PAGES[operation].response}


@pytest.mark.slow
@pytest.mark.parametrize("operation", SAMPLED)
def test_the_example_works_as_the_aws_cli(dev: Program, operation: str, tmp_path: Path) -> None:
    members = prepare(PAGES[operation].example, _caller(dev, ANYBODY), REGION)
    printed = _bash(cli_command(operation, members, dev.url, REGION), tmp_path)
    assert not printed or set(json.loads(printed)) <= {field.name for field in PAGES[operation].response}


@pytest.mark.slow
@pytest.mark.parametrize("write", [boto3_program, cli_command, curl_command])
def test_a_hostile_text_arrives_as_it_is(dev: Program, write: Any, tmp_path: Path) -> None:
    text = "<script>'\"$(id)`id`\\\n-- file:///etc/passwd \u202e\U0001f511"
    kms = client(dev.url, "kms", ANYBODY)
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    snippet = write("UpdateKeyDescription", {"KeyId": key, "Description": text}, dev.url, REGION)
    program = f"exec python - <<'END'\n{snippet}END\n" if write is boto3_program else snippet
    _bash(program, tmp_path)
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["Description"] == text
