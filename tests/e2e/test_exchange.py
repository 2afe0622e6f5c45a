# SPDX-License-Identifier: Apache-2.0
"""The exchange that the project began with, byte for byte, and each of its operation's special errors."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from http_wire import Response
from servers import Production, Program, behind_its_back, http_post

from keyquorum.testing import Server

pytestmark = pytest.mark.slow

KEY = "1234abcd-12ab-34cd-56ef-1234567890ab"
ARN = f"arn:aws:verenc:111122223333:key/{KEY}"
BODY = b'{ "KeyId": "%b" }' % KEY.encode()
HEADERS = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "TrentService.CancelKeyDeletion"}
SEED = f"""
[[key]]
id = "{KEY}"
state = "PendingDeletion"
deletion_date = 2099-01-01T00:00:00Z
aliases = ["alias/original"]
"""
ABSENT = "0000abcd-12ab-34cd-56ef-1234567890ab"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    directory = tmp_path_factory.mktemp("exchange")
    seed = directory / "seed.toml"
    seed.write_text(SEED)
    options = ("--dev", "--account", "111122223333", "--arn-format", "verenc", "--seed", str(seed))
    program = Program(directory, *options)
    yield program
    program.stop()


@pytest.fixture
def dev(shared: Program) -> Program:
    """The key of the seed is pending deletion again."""
    reset = {"Host": "localhost", "X-Keyquorum-Dev": "1"}
    assert shared.raw(http_post(reset, b"{}", "/_dev/reset")).status == 200
    return shared


def ask(program: Program, operation: str, body: dict[str, Any]) -> Response:
    headers = {**HEADERS, "Host": "localhost", "X-Amz-Target": f"TrentService.{operation}"}
    return program.raw(http_post(headers, json.dumps(body).encode()))


def fault(answer: Response) -> tuple[int, dict[str, str]]:
    assert answer.headers["content-type"] == "application/x-amz-json-1.1"
    return answer.status, answer.json


def state(program: Program) -> str:
    return str(ask(program, "DescribeKey", {"KeyId": KEY}).json["KeyMetadata"]["KeyState"])


def test_as_printed_with_host_and_the_length_of_the_body(dev: Program) -> None:
    """Without its length HTTP/1.1 gives a request no body (RFC 9112, section 6.3)."""
    request = (
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-amz-json-1.1\r\n"
        b"X-Amz-Target: TrentService.CancelKeyDeletion\r\nContent-Length: 51\r\n\r\n"
        b'{ "KeyId": "1234abcd-12ab-34cd-56ef-1234567890ab" }'
    )
    wire = dev.connect()
    wire.send(request)
    while b"\r\n" not in wire.buffer:
        wire.buffer += wire.sock.recv(4096)
    assert wire.buffer.startswith(b"HTTP/1.1 200 OK\r\n")
    answer = wire.response()
    wire.close()
    assert answer.headers["content-type"] == "application/x-amz-json-1.1"
    assert answer.body == b'{"KeyId":"arn:aws:verenc:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"}'
    assert len(answer.headers["x-amzn-requestid"]) == 36


def test_the_key_is_disabled_and_only_enable_key_makes_it_usable(dev: Program) -> None:
    encrypt = {"KeyId": KEY, "Plaintext": "aGVsbG8="}
    assert fault(ask(dev, "Encrypt", encrypt)) == (
        400,
        {"__type": "KMSInvalidStateException", "message": f"{ARN} is pending deletion."},
    )
    assert ask(dev, "CancelKeyDeletion", {"KeyId": KEY}).status == 200
    metadata = ask(dev, "DescribeKey", {"KeyId": KEY}).json["KeyMetadata"]
    assert (metadata["KeyState"], metadata["Enabled"], "DeletionDate" in metadata) == ("Disabled", False, False)
    assert fault(ask(dev, "Encrypt", encrypt)) == (
        400,
        {"__type": "DisabledException", "message": f"{ARN} is disabled."},
    )
    enabled = ask(dev, "EnableKey", {"KeyId": KEY})
    assert (enabled.status, enabled.body) == (200, b"")
    blob = ask(dev, "Encrypt", encrypt).json["CiphertextBlob"]
    assert ask(dev, "Decrypt", {"CiphertextBlob": blob}).json["Plaintext"] == "aGVsbG8="


@pytest.mark.parametrize("key_id", [KEY, ARN, f"arn:aws:kms:us-east-1:111122223333:key/{KEY}"])
def test_key_id_and_key_arn_in_either_layout(dev: Program, key_id: str) -> None:
    answer = ask(dev, "CancelKeyDeletion", {"KeyId": key_id})
    assert (answer.status, answer.json) == (200, {"KeyId": ARN})
    assert state(dev) == "Disabled"


@pytest.mark.parametrize(
    "alias",
    ["alias/original", "alias/absent", "arn:aws:verenc:111122223333:alias/original"],
)
def test_an_alias_is_refused(dev: Program, alias: str) -> None:
    assert fault(ask(dev, "CancelKeyDeletion", {"KeyId": alias})) == (
        400,
        {"__type": "InvalidArnException", "message": "Key Aliases are not supported for this operation."},
    )
    assert state(dev) == "PendingDeletion"


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": HEADERS["Content-Type"]},
        {"X-Amz-Target": HEADERS["X-Amz-Target"]},
        {**HEADERS, "X-Amz-Target": "TrentService.CancelKey"},
        {**HEADERS, "X-Amz-Target": "CancelKeyDeletion"},
        {**HEADERS, "X-Amz-Target": "trentservice.CancelKeyDeletion"},
        {**HEADERS, "X-Amz-Target": "DynamoDB_20120810.GetItem"},
        {**HEADERS, "Content-Type": "application/json"},
        {},
    ],
)
def test_both_headers_are_required_and_must_be_ours(dev: Program, headers: dict[str, str]) -> None:
    answer = dev.raw(http_post({"Host": "localhost", **headers}, BODY))
    assert fault(answer) == (400, {"__type": "UnknownOperationException"})
    assert state(dev) == "PendingDeletion"


def test_operations_of_our_own_are_no_other_way_to_those_of_kms(dev: Program) -> None:
    other = "application/x-amz-json-1.0"
    answer = dev.raw(http_post({"Host": "localhost", **HEADERS, "Content-Type": other}, BODY))
    assert (answer.status, answer.headers["content-type"]) == (400, other)
    assert json.loads(answer.body) == {"__type": "UnknownOperationException"}
    assert state(dev) == "PendingDeletion"


@pytest.mark.parametrize(
    "arn",
    ["arn:aws:kms:us-east-1:12:key/x", "arn:aws:verenc:111122223333", f"arn:aws:s3:us-east-1:111122223333:key/{KEY}"],
)
def test_invalid_arn(dev: Program, arn: str) -> None:
    assert fault(ask(dev, "CancelKeyDeletion", {"KeyId": arn})) == (
        400,
        {"__type": "InvalidArnException", "message": f"Invalid arn {arn}"},
    )


def test_invalid_state(dev: Program) -> None:
    assert ask(dev, "CancelKeyDeletion", {"KeyId": KEY}).status == 200
    expected = (400, {"__type": "KMSInvalidStateException", "message": f"{ARN} is not pending deletion."})
    assert fault(ask(dev, "CancelKeyDeletion", {"KeyId": KEY})) == expected
    assert ask(dev, "EnableKey", {"KeyId": KEY}).status == 200
    assert fault(ask(dev, "CancelKeyDeletion", {"KeyId": KEY})) == expected


@pytest.mark.parametrize(
    ("key_id", "message"),
    [
        (ABSENT, f"Key 'arn:aws:verenc:111122223333:key/{ABSENT}' does not exist"),
        ("1234", "Invalid keyId '1234'"),
        (f"arn:aws:kms:eu-west-1:111122223333:key/{KEY}", "Invalid arn eu-west-1"),
    ],
)
def test_not_found(dev: Program, key_id: str, message: str) -> None:
    assert fault(ask(dev, "CancelKeyDeletion", {"KeyId": key_id})) == (
        400,
        {"__type": "NotFoundException", "message": message},
    )


def test_an_sdk_gets_the_same_from_the_testing_plugin(keyquorum: Server) -> None:
    kms = keyquorum.client("kms")
    key_id = kms.create_key(Tags=[{"TagKey": "_custom_id_", "TagValue": KEY}])["KeyMetadata"]["KeyId"]
    kms.schedule_key_deletion(KeyId=key_id)
    assert kms.cancel_key_deletion(KeyId=KEY)["KeyId"] == f"arn:aws:kms:us-east-1:111122223333:key/{KEY}"


# -- in production, where every request is signed


@pytest.fixture
def seeded(start: Callable[..., Production], tmp_path: Path) -> Production:
    seed = tmp_path / "seed.toml"
    seed.write_text(SEED)
    return start("--seed", str(seed), "--lock-timeout", "0.3", "--arn-format", "verenc")


def test_signed_over_a_raw_socket(seeded: Production) -> None:
    unsigned = seeded.raw(http_post({"Host": "localhost", **HEADERS}, BODY))
    assert fault(unsigned) == (
        400,
        {"__type": "MissingAuthenticationTokenException", "message": "Missing Authentication Token"},
    )
    assert seeded.signed("DescribeKey", {"KeyId": KEY}).json["KeyMetadata"]["KeyState"] == "PendingDeletion"
    answer = seeded.signed("CancelKeyDeletion", {"KeyId": KEY})
    assert (answer.status, answer.body) == (200, b'{"KeyId":"%b"}' % ARN.encode())


def test_dependency_timeout(seeded: Production) -> None:
    """Another process holds the database's write lock for longer than the server waits."""
    with behind_its_back(seeded.database) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = seeded.signed("CancelKeyDeletion", {"KeyId": KEY})
        described = seeded.signed("DescribeKey", {"KeyId": KEY})
        other.execute("ROLLBACK")
    assert answer.status == 500
    assert answer.json == {
        "__type": "DependencyTimeoutException",
        "message": "The system timed out while trying to fulfill the request. You can retry the request.",
    }
    assert described.json["KeyMetadata"]["KeyState"] == "PendingDeletion"
    assert seeded.signed("CancelKeyDeletion", {"KeyId": KEY}).status == 200


def test_internal_fault_leaks_nothing(seeded: Production) -> None:
    """A row was changed behind the server's back: its MAC no longer holds, and the caller learns nothing of it."""
    with behind_its_back(seeded.database) as other:
        other.execute("UPDATE keys SET mac = zeroblob(32) WHERE key_id = ?", (KEY,))
    answer = seeded.signed("CancelKeyDeletion", {"KeyId": KEY})
    assert answer.status == 500
    assert answer.body == b'{"__type":"KMSInternalException"}'
    with behind_its_back(seeded.database) as other:
        assert other.execute("SELECT state FROM keys").fetchall() == [("PendingDeletion",)]
    log = seeded.stderr.read_text()
    assert answer.headers["x-amzn-requestid"] in log
    assert "IntegrityError" in log
    # The fault is that key's alone.
    assert seeded.signed("CreateKey", {}).status == 200
