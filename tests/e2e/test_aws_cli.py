# SPDX-License-Identifier: Apache-2.0
"""The AWS CLI, with the environment that ``keyquorum env`` prints and nothing else."""

import base64
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from servers import ACCOUNT, Production, environment, run

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("aws-cli")]


class CLI:
    """``exports`` is the text that a shell would evaluate."""

    def __init__(self, exports: str, home: Path) -> None:
        pairs = (line.removeprefix("export ").partition("=") for line in exports.splitlines())
        self._environment = {
            **environment(),
            **{name: shlex.split(value)[0] for name, _, value in pairs},
            "HOME": str(home),
            "AWS_MAX_ATTEMPTS": "1",
        }
        self._home = home

    def __call__(self, *arguments: str) -> Any:
        done = subprocess.run(
            (str(Path(sys.executable).with_name("aws")), *arguments, "--output", "json"),
            env=self._environment,
            cwd=self._home,
            capture_output=True,
            text=True,
            timeout=60,
        )
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return json.loads(done.stdout) if done.stdout.strip() else None


@pytest.fixture(scope="module")
def aws(server: Production, tmp_path_factory: pytest.TempPathFactory) -> CLI:
    return CLI(run("env", "--data", str(server.data)).stdout, tmp_path_factory.mktemp("home"))


def test_who_am_i(aws: CLI) -> None:
    assert aws("sts", "get-caller-identity") == {
        "Arn": f"arn:aws:iam::{ACCOUNT}:root",
        "UserId": ACCOUNT,
        "Account": ACCOUNT,
    }


def test_a_key_from_creation_to_deletion(aws: CLI, tmp_path: Path) -> None:
    key = aws("kms", "create-key", "--description", "orders")["KeyMetadata"]
    aws("kms", "create-alias", "--alias-name", "alias/orders", "--target-key-id", key["KeyId"])
    aliases = aws("kms", "list-aliases", "--key-id", key["KeyId"])["Aliases"]
    assert [alias["AliasName"] for alias in aliases] == ["alias/orders"]

    plain, sealed = tmp_path / "plain", tmp_path / "sealed"
    plain.write_bytes(bytes(range(256)))
    context = ("--encryption-context", "tenant=a,purpose=b")
    encrypted = aws("kms", "encrypt", "--key-id", "alias/orders", "--plaintext", f"fileb://{plain}", *context)
    sealed.write_bytes(base64.b64decode(encrypted["CiphertextBlob"]))
    decrypted = aws("kms", "decrypt", "--ciphertext-blob", f"fileb://{sealed}", *context)
    assert base64.b64decode(decrypted["Plaintext"]) == plain.read_bytes()
    with pytest.raises(RuntimeError, match="InvalidCiphertextException"):
        aws("kms", "decrypt", "--ciphertext-blob", f"fileb://{sealed}")

    scheduled = aws("kms", "schedule-key-deletion", "--key-id", key["KeyId"], "--pending-window-in-days", "7")
    assert scheduled["KeyState"] == "PendingDeletion"
    with pytest.raises(RuntimeError, match=r"KMSInvalidStateException.*is pending deletion\."):
        aws("kms", "decrypt", "--ciphertext-blob", f"fileb://{sealed}", *context)
    assert aws("kms", "cancel-key-deletion", "--key-id", key["KeyId"]) == {"KeyId": key["Arn"]}
    assert aws("kms", "describe-key", "--key-id", key["KeyId"])["KeyMetadata"]["KeyState"] == "Disabled"
    assert aws("kms", "enable-key", "--key-id", key["KeyId"]) is None
    decrypted = aws("kms", "decrypt", "--ciphertext-blob", f"fileb://{sealed}", *context)
    assert decrypted["KeyId"] == key["Arn"]


def test_the_cli_pages_by_itself(aws: CLI, kms: Any) -> None:
    made = {kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(5)}
    listed = [key["KeyId"] for key in aws("kms", "list-keys", "--page-size", "2")["Keys"]]
    assert made <= set(listed)
    assert len(listed) == len(set(listed))


def test_a_user_with_its_policy_and_its_key(aws: CLI, server: Production, tmp_path: Path) -> None:
    aws("iam", "create-group", "--group-name", "cli")
    user = aws("iam", "create-user", "--user-name", "cli", "--tags", "Key=team,Value=blue")["User"]
    aws("iam", "add-user-to-group", "--group-name", "cli", "--user-name", "cli")
    statement = {"Effect": "Allow", "Action": "iam:GetUser", "Resource": user["Arn"]}
    document = tmp_path / "policy.json"
    document.write_text(json.dumps({"Version": "2012-10-17", "Statement": statement}))
    put = ("--policy-name", "own", "--policy-document", f"file://{document}")
    aws("iam", "put-group-policy", "--group-name", "cli", *put)
    found = aws("iam", "get-group-policy", "--group-name", "cli", "--policy-name", "own")["PolicyDocument"]
    assert found["Statement"] == statement
    made = aws("iam", "create-access-key", "--user-name", "cli")["AccessKey"]
    mine = CLI(
        f"export AWS_ACCESS_KEY_ID={made['AccessKeyId']}\nexport AWS_SECRET_ACCESS_KEY={made['SecretAccessKey']}\n"
        f"export AWS_ENDPOINT_URL={server.url}\nexport AWS_DEFAULT_REGION=eu-central-1",
        tmp_path,
    )
    assert mine("iam", "get-user")["User"] == user
    with pytest.raises(RuntimeError, match=r"AccessDenied.* iam:ListUsers on resource: arn:aws:iam::\d+:user/ because"):
        mine("iam", "list-users")
    with pytest.raises(RuntimeError, match=r"DeleteConflict.*must remove users from group first\."):
        aws("iam", "delete-user", "--user-name", "cli")
