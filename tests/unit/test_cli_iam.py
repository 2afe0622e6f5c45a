# SPDX-License-Identifier: Apache-2.0
"""``keyquorum iam``: options as the AWS CLI has them, and the offline mode on a data directory."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from botocore import xform_name
from click.testing import CliRunner, Result
from msgspec.structs import fields

from keyquorum import iam_api
from keyquorum.app import Service
from keyquorum.cli import main
from keyquorum.cli.values import ValueProblem, dashed, read
from keyquorum.config import Settings
from keyquorum.iam_api import ContextEntry, Tag
from keyquorum.layout import DataDirectory, Endpoint
from keyquorum.wire.constraints import MEMBERS

ACCOUNT = "111122223333"
POLICY = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*"}}'


def test_names_are_the_aws_clis() -> None:
    assert {dashed(name) for name in iam_api.OPERATIONS} == {xform_name(name, "-") for name in iam_api.OPERATIONS}
    for shape in iam_api.OPERATIONS.values():
        for field in fields(shape.request):
            assert dashed(field.name) == xform_name(field.encode_name, "-")


TAGS = next(m.constraint for m in MEMBERS[iam_api.CreateUserRequest] if m.attribute == "tags")
NAME = next(m.constraint for m in MEMBERS[iam_api.CreateUserRequest] if m.attribute == "user_name")
ENTRIES = next(
    m.constraint for m in MEMBERS[iam_api.SimulatePrincipalPolicyRequest] if m.attribute == "context_entries"
)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("Key=a,Value=b",), [Tag(key="a", value="b")]),
        (("Value=b,Key=a", "Key=c"), [Tag(key="a", value="b"), Tag(key="c")]),
        (("Key=a,Value=b,c=d",), [Tag(key="a", value="b,c=d")]),
        (("Key=a,Value=",), [Tag(key="a", value="")]),
        (("Key='a',Value=\"b\"",), [Tag(key="a", value="b")]),
        (('{"Key": "a,Value=x", "Value": "b"}',), [Tag(key="a,Value=x", value="b")]),
        (('[{"Key": "a"}, {"Key": "b"}]',), [Tag(key="a"), Tag(key="b")]),
    ],
)
def test_structures(texts: tuple[str, ...], expected: list[Tag]) -> None:
    assert read(TAGS, texts) == expected


def test_a_list_in_a_structure() -> None:
    text = "ContextKeyName=aws:x,ContextKeyValues=a,b,ContextKeyType=stringList"
    expected = ContextEntry(context_key_name="aws:x", context_key_values=["a", "b"], context_key_type="stringList")
    assert read(ENTRIES, (text,)) == [expected]


@pytest.mark.parametrize("text", ["a", "key=a", "{", '{"Key": 1}', "[1]", "=a"])
def test_what_is_no_structure(text: str) -> None:
    with pytest.raises(ValueProblem):
        read(TAGS, (text,))


def test_a_text_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(POLICY)
    assert read(NAME, f"file://{tmp_path}/p.json") == POLICY
    with pytest.raises(ValueProblem, match="cannot be read"):
        read(NAME, f"file://{tmp_path}/absent")
    (tmp_path / "latin").write_bytes(b"\xe9")
    with pytest.raises(ValueProblem, match="not UTF-8"):
        read(NAME, f"file://{tmp_path}/latin")


def iam(*arguments: str, **environment: str) -> Result:
    without = dict.fromkeys(("AWS_ENDPOINT_URL_IAM", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KMS", "KEYQUORUM_DATA"))
    return CliRunner().invoke(main, ("iam", *arguments), env={**without, **environment})


def test_help_tells_the_options_of_an_operation() -> None:
    assert "create-open-id-connect-provider" in iam("--help").stdout
    told = iam("create-policy-version", "--help").stdout
    assert "--policy-document TEXT" in told
    assert "--set-as-default / --no-set-as-default" in told
    assert "--public-key-only" in iam("create-access-key", "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create-user",), "Missing option '--user-name'"),
        (("create-user", "--user-name", "a", "--colour", "red"), "No such option '--colour'"),
        (("create-bucket",), "No such command 'create-bucket'"),
        (("list-users",), "AWS_ENDPOINT_URL_IAM is not set"),
        (("list-users", "--max-items", "many"), "not a valid int"),
        (("--account", ACCOUNT, "list-users"), "--account goes with --offline"),
        (("tag-user", "--user-name", "a", "--tags", "x"), "is not one of Key=, Value= with a value"),
    ],
)
def test_refused_before_anything_is_sent(arguments: tuple[str, ...], said: str) -> None:
    result = iam(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


# -- offline


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory whose server has been started, and has ended."""
    directory = tmp_path / "data"
    Service(Settings(data=directory)).close()
    endpoint = Endpoint("http://127.0.0.1:8085", ACCOUNT, "eu-west-1")
    DataDirectory(directory).endpoint.write_bytes(msgspec.json.encode(endpoint))
    return directory


def records(data: Path) -> list[dict[str, Any]]:
    lines = [line for path in sorted((data / "audit").glob("[0-9]*.jsonl")) for line in path.read_text().splitlines()]
    return [json.loads(line) for line in lines]


def test_an_offline_change_is_made_and_recorded_as_the_roots(data: Path) -> None:
    made = iam("--offline", "--data", str(data), "create-user", "--user-name", "alice", "--tags", "Key=a", "Key=b")
    assert made.exit_code == 1  # tags need values
    assert "An error occurred (ValidationError) when calling the CreateUser operation" in made.stderr
    made = iam("--offline", "--data", str(data), "create-user", "--user-name", "alice", "--tags", "Key=b,Value=c")
    assert json.loads(made.stdout)["User"]["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/alice"
    shown = iam("--offline", "get-user", "--user-name", "alice", KEYQUORUM_DATA=str(data))
    assert json.loads(shown.stdout)["User"]["Tags"] == [{"Key": "b", "Value": "c"}]
    refused, created, got = records(data)
    assert refused["errorCode"] == "ValidationException"
    for record in (created, got):
        assert record["userIdentity"]["arn"] == f"arn:aws:iam::{ACCOUNT}:root"
        assert "accessKeyId" not in record["userIdentity"]
        assert (record["sourceIPAddress"], record["awsRegion"]) == ("command line", "eu-west-1")
        assert "--offline" in record["userAgent"]
    assert (created["eventName"], created["readOnly"]) == ("CreateUser", False)
    assert (got["eventName"], got["readOnly"]) == ("GetUser", True)


def test_an_offline_change_in_the_log_is_covered_by_a_checkpoint(data: Path) -> None:
    iam("--offline", "--data", str(data), "create-group", "--group-name", "g")
    verified = CliRunner().invoke(main, ("audit", "verify", "--data", str(data)))
    assert verified.exit_code == 0, verified.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--account", "444455556666"), "there is no account 444455556666"),
        (("--data", "{tmp}/absent"), "no server has been started on"),
    ],
)
def test_offline_makes_no_account_and_no_directory(
    data: Path, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    given = [option.format(tmp=tmp_path) for option in options]
    result = iam("--offline", "--data", str(data), *given, "list-users")
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert not (tmp_path / "absent").exists()
    assert records(data) == []


def test_a_seal_key_that_others_can_read(data: Path) -> None:
    DataDirectory(data).seal_key.chmod(0o644)
    result = iam("--offline", "--data", str(data), "list-users")
    assert (result.exit_code, "is open to others" in result.stderr) == (2, True)


def test_the_server_never_has_the_secret_of_ones_own_key(data: Path) -> None:
    iam("--offline", "--data", str(data), "create-user", "--user-name", "alice")
    made = iam("--offline", "--data", str(data), "create-access-key", "--user-name", "alice", "--public-key-only")
    secret = json.loads(made.stdout)["AccessKey"]["SecretAccessKey"]
    assert len(secret) == 40
    for path in data.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes()
    listed = iam("--offline", "--data", str(data), "list-access-keys", "--user-name", "alice")
    [key] = json.loads(listed.stdout)["AccessKeyMetadata"]
    assert key["AccessKeyId"] == json.loads(made.stdout)["AccessKey"]["AccessKeyId"]
