# SPDX-License-Identifier: Apache-2.0
"""JSON 1.1 bodies: what is taken, what is refused and how, and that nothing else can come out."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyquorum import api
from keyquorum.errors import (
    DisabledException,
    InvalidCiphertextException,
    KMSError,
    SerializationException,
    ValidationException,
)
from keyquorum.wire import json11

OPERATIONS = st.sampled_from(sorted(api.OPERATIONS))


def test_a_request_is_decoded() -> None:
    body = b'{"KeyId":"k","Plaintext":"aGVsbG8=","EncryptionContext":{"a":"\\ud83d\\ude00"},"DryRun":false}'
    assert json11.decode("Encrypt", body) == api.EncryptRequest(
        key_id="k", plaintext=b"hello", encryption_context={"a": "\N{GRINNING FACE}"}, dry_run=False
    )


def test_null_means_absent_and_unknown_members_are_ignored() -> None:
    body = b'{"Limit":null,"Marker":null,"keyId":1,"Nonsense":[{"a":1e999}]}'
    assert json11.decode("ListKeys", body) == api.ListKeysRequest()


def test_timestamps_are_numbers() -> None:
    body = b'{"KeyId":"k","ImportToken":"YQ==","EncryptedKeyMaterial":"YQ==","ValidTo":%s}'
    for number, seconds in ((b"1700000000", 1.7e9), (b"1.7000000005E9", 1700000000.5)):
        request = json11.decode("ImportKeyMaterial", body % number)
        assert isinstance(request, api.ImportKeyMaterialRequest)
        assert request.valid_to == seconds
    for number in (b"1e300", b"1e999", b"NaN", b"Infinity", b'"2026-01-01T00:00:00Z"', b"9" * 400, b"true"):
        with pytest.raises(SerializationException):
            json11.decode("ImportKeyMaterial", body % number)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b"[]", "Expected `object`, got `array`"),
        (b"null", "Expected `object`, got `null`"),
        (b"{}{}", "trailing characters"),
        (b"\xef\xbb\xbf{}", "malformed"),
        (b"{'KeyId':'SECRET'}", "malformed"),
        (b'{"KeyId":7777777}', "got `int` - at `$.KeyId`"),
        (b'{"Plaintext":"SECRET!"}', "Invalid base64 encoded string - at `$.Plaintext`"),
        (b'{"Plaintext":"U0VDUkVU=="}', "Invalid base64 encoded string - at `$.Plaintext`"),
        (b'{"Plaintext":"-_-_"}', "Invalid base64 encoded string - at `$.Plaintext`"),
        (b'{"EncryptionContext":{"SECRET":7777777}}', "got `int` - at `$.EncryptionContext[...]`"),
        (b'{"EncryptionContext":{"SECRET":null}}', "got `null` - at `$.EncryptionContext[...]`"),
        (b'{"GrantTokens":["SECRET",{}]}', "got `object` - at `$.GrantTokens[1]`"),
        (b'{"DryRun":"SECRET"}', "got `str` - at `$.DryRun`"),
        (b'{"DryRun":7777777}', "got `int` - at `$.DryRun`"),
        (b'{"KeyId":"\xff"}', "not valid UTF-8"),
        (b'{"KeyId":"\xed\xa0\x80"}', "not valid UTF-8"),
        (b'{"Unknown":"\xff"}', "not valid UTF-8"),
        (b'{"KeyId":"\\ud800 SECRET"}', "malformed"),
        (b'{"KeyId":"\\udc00SECRET"}', "malformed"),
        (b'{"KeyId":"SECRET\x00"}', "malformed"),
        (b'{"Unknown":' + b"[" * 100_000, "nested too deeply"),
        (b'{"Unknown":' * 100_000, "nested too deeply"),
        (b'{"Unknown":NaN}', "malformed"),
    ],
)
def test_bad_bodies_are_refused_without_echo(body: bytes, reason: str) -> None:
    with pytest.raises(SerializationException) as caught:
        json11.decode("Encrypt", body)
    assert caught.value.message is not None
    assert reason in caught.value.message
    assert "SECRET" not in caught.value.message
    assert "7777777" not in caught.value.message


@pytest.mark.parametrize("number", ["1.5", "1e400", "2147483648", "-2147483649", "9" * 30, "9" * 10_000, '"5"', "true"])
def test_integers_are_32_bit(number: str) -> None:
    with pytest.raises(SerializationException):
        json11.decode("ListKeys", b'{"Limit":%s}' % number.encode())


def test_the_model_is_checked() -> None:
    with pytest.raises(ValidationException, match="at 'keyId'"):
        json11.decode("DescribeKey", b"{}")


def test_responses() -> None:
    assert json11.encode(None) == b""
    assert json11.encode(api.ConnectCustomKeyStoreResponse()) == b"{}"
    assert json.loads(json11.encode(api.EncryptResponse(ciphertext_blob=b"\xfb\xff", key_id="k"))) == {
        "CiphertextBlob": "+/8=",
        "KeyId": "k",
    }
    entry = api.KeyMetadata(aws_account_id="111122223333", enabled=False, creation_date=1.5, description="")
    assert json.loads(json11.encode(api.DescribeKeyResponse(key_metadata=entry))) == {
        "KeyMetadata": {"AWSAccountId": "111122223333", "Enabled": False, "CreationDate": 1.5, "Description": ""}
    }


def test_faults() -> None:
    assert json.loads(json11.encode_fault(DisabledException("off", detail="private"))) == {
        "__type": "DisabledException",
        "message": "off",
    }
    assert json.loads(json11.encode_fault(InvalidCiphertextException(detail="private"))) == {
        "__type": "InvalidCiphertextException"
    }


def attempt(name: str, body: bytes) -> None:
    try:
        request = json11.decode(name, body)
    except (SerializationException, ValidationException) as error:
        json11.encode_fault(error)
    else:
        assert type(request) is api.OPERATIONS[name].request
        assert json11.decode(name, json11.encode(request)) == request


@given(OPERATIONS, st.binary(max_size=200))
def test_any_bytes_give_a_request_or_one_of_two_faults(name: str, body: bytes) -> None:
    attempt(name, body)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.sampled_from(["YQ==", "default"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["TagKey", "TagValue", "a"]), inner),
    max_leaves=5,
)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, bytes]:
    """A body with the operation's own members, of any type."""
    name = draw(OPERATIONS)
    members = st.sampled_from(api.OPERATIONS[name].request.__struct_encode_fields__)
    content: dict[str, Any] = draw(st.dictionaries(members, JSON, max_size=6))
    return name, json.dumps(content, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")


@given(bodies())
def test_any_json_gives_a_request_or_one_of_two_faults(case: tuple[str, bytes]) -> None:
    attempt(*case)


def test_a_fault_never_shows_its_detail() -> None:
    assert b"private" not in json11.encode_fault(KMSError("public", detail="private"))
