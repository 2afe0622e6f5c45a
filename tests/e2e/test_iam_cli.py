# SPDX-License-Identifier: Apache-2.0
"""``keyquorum iam`` beside a running server: it says what the AWS CLI says; what it does offline is known at once."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from roles import ALICE, allow, assumed, new_role, trusting, user
from servers import Access, Production, code_of, environment

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("iam-cli")]

POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "kms:*", "Resource": "*"}]}


def run(server: Production, program: str, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """A program of this environment, with the variables that ``keyquorum env`` prints. The AWS CLI's first version
    writes dates like its second."""
    (server.directory / "aws.ini").write_text("[default]\ncli_timestamp_format = iso8601\n")
    ours = {"HOME": str(server.directory), "AWS_CONFIG_FILE": "aws.ini", "AWS_MAX_ATTEMPTS": "1"}
    return subprocess.run(
        (str(Path(sys.executable).with_name(program)), *arguments),
        env={**environment(arguments), **server.env, **ours, **variables},
        cwd=server.directory,
        capture_output=True,
        text=True,
        timeout=60,
    )


def iam(server: Production, *arguments: str, **variables: str) -> Any:
    done = run(server, "keyquorum", "iam", *arguments, **variables)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout else None


def offline(server: Production, *arguments: str) -> Any:
    return iam(server, "--offline", "--data", str(server.data), *arguments)


def test_a_scenario_reads_as_with_the_aws_cli(server: Production) -> None:
    (server.directory / "p.json").write_text(json.dumps(POLICY))
    iam(server, "create-user", "--user-name", "one", "--path", "/team/", "--tags", "Key=a,Value=1", "Key=b,Value=2")
    iam(server, "put-user-policy", "--user-name", "one", "--policy-name", "p", "--policy-document", "file://p.json")
    made = iam(server, "create-policy", "--policy-name", "managed", "--policy-document", "file://p.json")
    arn = made["Policy"]["Arn"]
    iam(server, "create-policy-version", "--policy-arn", arn, "--policy-document", "file://p.json", "--set-as-default")
    iam(server, "attach-user-policy", "--user-name", "one", "--policy-arn", arn)
    for command in (
        ("get-user", "--user-name", "one"),
        ("list-users", "--path-prefix", "/team/"),
        ("get-user-policy", "--user-name", "one", "--policy-name", "p"),
        ("list-attached-user-policies", "--user-name", "one"),
        ("list-policy-versions", "--policy-arn", arn),
        ("get-policy-version", "--policy-arn", arn, "--version-id", "v2"),
        ("list-user-tags", "--user-name", "one"),
        ("list-roles",),
    ):
        theirs = run(server, "aws", "iam", *command, "--output", "json")
        assert theirs.returncode == 0, theirs.stderr
        assert iam(server, *command) == json.loads(theirs.stdout)


def test_a_refusal_reads_as_with_the_aws_cli(server: Production) -> None:
    command = ("get-user", "--user-name", "nobody")
    ours, theirs = run(server, "keyquorum", "iam", *command), run(server, "aws", "iam", *command)
    assert (ours.returncode, ours.stdout) == (1, "")
    assert ours.stderr.removeprefix("keyquorum: ").strip() == theirs.stderr.strip()


def test_temporary_credentials(server: Production) -> None:
    role = new_role(server.client("iam"), trusting(user("Alice")), allow("iam:ListRoles"))
    credentials = assumed(server.client("sts", ALICE), role)
    session = {
        "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
        "AWS_SESSION_TOKEN": credentials["SessionToken"],
    }
    assert role in [found["Arn"] for found in iam(server, "list-roles", **session)["Roles"]]
    refused = run(server, "keyquorum", "iam", "list-users", **session)
    assert "(AccessDenied)" in refused.stderr
    assert "is not authorized to perform: iam:ListUsers" in refused.stderr


def test_what_is_done_offline_is_known_at_once(server: Production, key: Any) -> None:
    offline(server, "create-user", "--user-name", "off")
    made = offline(server, "create-access-key", "--user-name", "off")["AccessKey"]
    kms = server.client(access=Access(made["AccessKeyId"], made["SecretAccessKey"]))
    assert code_of(kms.describe_key, KeyId=key["KeyId"]) == "AccessDeniedException"
    document = ("--policy-name", "p", "--policy-document", json.dumps(POLICY))
    offline(server, "put-user-policy", "--user-name", "off", *document)
    assert kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyId"] == key["KeyId"]
    offline(
        server,
        "update-access-key",
        "--user-name",
        "off",
        "--access-key-id",
        made["AccessKeyId"],
        "--status",
        "Inactive",
    )
    assert code_of(kms.describe_key, KeyId=key["KeyId"]) == "UnrecognizedClientException"
    verified = run(server, "keyquorum", "audit", "verify", "--data", str(server.data))
    assert verified.returncode == 0, verified.stdout


def test_a_key_of_ones_own_signs_with_sigv4a(server: Production, key: Any) -> None:
    if importlib.util.find_spec("awscrt") is None and "CI" not in os.environ:
        pytest.skip("botocore signs SigV4A only with awscrt")
    iam(server, "create-user", "--user-name", "own")
    document = ("--policy-name", "p", "--policy-document", json.dumps(POLICY))
    iam(server, "put-user-policy", "--user-name", "own", *document)
    made = iam(server, "create-access-key", "--user-name", "own", "--public-key-only")["AccessKey"]
    access = Access(made["AccessKeyId"], made["SecretAccessKey"])
    v4a = Config(signature_version="v4a", retries={"total_max_attempts": 1})
    assert server.client(access=access, config=v4a).describe_key(KeyId=key["KeyId"])
    assert code_of(server.client(access=access).describe_key, KeyId=key["KeyId"]) == "InvalidSignatureException"
