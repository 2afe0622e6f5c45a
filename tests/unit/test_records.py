# SPDX-License-Identifier: Apache-2.0
"""What an audit record says of a request, and what it never says."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from audit_lines import written
from direct import ACCOUNT, REGION, Direct, development, unsigned

from keyquorum.api import EncryptRequest
from keyquorum.app import Service
from keyquorum.config import Settings
from keyquorum.errors import AccessDeniedException
from keyquorum.model import ASSUMED_ROLE, USER, WEB_IDENTITY, Answer, Caller, HttpRequest, Session
from keyquorum.ops.operation import Call
from keyquorum.recording import Trace

SECOND = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
SECRET = b"the plaintext that nobody may read"


@pytest.fixture
def kms() -> Iterator[Direct]:
    with development() as direct:
        yield direct


def test_a_record_says_who_did_what_with_which_key(kms: Direct) -> None:
    key_id = kms.key()
    told = kms.send(
        unsigned(
            "Encrypt",
            {"KeyId": key_id, "Plaintext": SECRET, "EncryptionContext": {"tenant": "a"}},
            (b"user-agent", b"Boto3/1"),
        )
    )
    arn = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{key_id}"
    record = told.record
    assert record.pop("eventID") != record["requestID"]
    assert re.fullmatch(SECOND, record.pop("eventTime"))
    assert 0 <= record.pop("additionalEventData")["milliseconds"] < 1000
    assert record == {
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "Root",
            "principalId": ACCOUNT,
            "arn": f"arn:aws:iam::{ACCOUNT}:root",
            "accountId": ACCOUNT,
        },
        "eventSource": "kms.amazonaws.com",
        "eventName": "Encrypt",
        "awsRegion": REGION,
        "sourceIPAddress": "192.0.2.7",
        "userAgent": "Boto3/1",
        "requestParameters": {"keyId": key_id, "encryptionContext": {"tenant": "a"}},
        "responseElements": None,
        "requestID": told.answer.request_id,
        "readOnly": True,
        "resources": [{"accountId": ACCOUNT, "type": "AWS::KMS::Key", "ARN": arn}],
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": ACCOUNT,
        "eventCategory": "Management",
    }


def test_a_refusal_is_recorded_with_its_error(kms: Direct) -> None:
    key_id = kms.key()
    kms("DisableKey", KeyId=key_id)
    record = kms("Encrypt", KeyId=key_id, Plaintext=SECRET).record
    assert record["errorCode"] == "DisabledException"
    assert record["errorMessage"] == f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{key_id} is disabled."
    assert record["resources"][0]["ARN"].endswith(key_id)
    absent = kms("DescribeKey", KeyId="alias/absent").record
    assert (absent["errorCode"], absent["requestParameters"]) == ("NotFoundException", {"keyId": "alias/absent"})
    assert kms("ConnectCustomKeyStore").record["errorCode"] == "UnsupportedOperationException"
    signed = kms("Sign", KeyId=key_id, Message=SECRET, SigningAlgorithm="ECDSA_SHA_256").record
    assert (signed["errorCode"], signed["requestParameters"]) == (
        "InvalidKeyUsageException",
        {"keyId": key_id, "signingAlgorithm": "ECDSA_SHA_256"},
    )


def test_no_record_holds_a_plaintext_a_ciphertext_or_a_data_key(kms: Direct) -> None:
    key_id = kms.key()
    encrypted = kms("Encrypt", KeyId=key_id, Plaintext=SECRET)
    ciphertext = encrypted.body["CiphertextBlob"]
    decrypted = kms("Decrypt", CiphertextBlob=ciphertext)
    data_key = kms("GenerateDataKey", KeyId=key_id, KeySpec="AES_256")
    random = kms("GenerateRandom", NumberOfBytes=32)
    damaged = kms("Decrypt", CiphertextBlob=ciphertext[:-8] + "AAAAAAA=")
    assert damaged.code == "InvalidCiphertextException"
    for told in (encrypted, decrypted, data_key, random, damaged):
        record = told.answer.record
        assert record is not None
        secrets = [SECRET, ciphertext.encode(), base64.b64encode(SECRET)]
        secrets += [told.body[name].encode() for name in ("Plaintext", "CiphertextBlob") if name in told.body]
        assert not any(secret in record for secret in secrets)


def test_a_grant_token_is_not_recorded(kms: Direct) -> None:
    told = kms("DescribeKey", KeyId=kms.key(), GrantTokens=["token-that-carries-rights"])
    assert told.record["eventName"] == "DescribeKey"
    assert b"token-that-carries-rights" not in (told.answer.record or b"")


@pytest.mark.parametrize(
    "agent",
    [
        b"",
        b"\xff\xfe\x80",
        b"\x00\x01\x1f\x7f",
        b'"},\n{"eventName":"Forged"}',
        b"a\r\nb\x0bc\x0cd\x1ce\x85f",
        "\u2028\u2029".encode(),
        b"\\" * 50,
        b"x" * 60_000,
    ],
)
def test_a_record_is_one_line_of_json_whatever_the_client_calls_itself(kms: Direct, agent: bytes) -> None:
    told = kms.send(unsigned("ListKeys", {}, (b"user-agent", agent)))
    record = told.answer.record
    assert record is not None
    assert b"\n" not in record
    assert b"\r" not in record
    assert json.loads(record)["userAgent"] == agent.decode("latin-1")[:1024]
    assert json.loads(record)["eventName"] == "ListKeys"


def test_what_the_client_controls_is_cut_and_the_record_says_so(kms: Direct) -> None:
    """No two contexts look alike in a record: one that is too long is left out as a whole."""
    key_id = kms.key()
    context = {f"{n}-" + "k" * 100: "v" * 100 for n in range(200)}
    told = kms("Encrypt", KeyId=key_id, Plaintext=SECRET, EncryptionContext=context)
    assert told.record["requestParameters"] == {"keyId": key_id, "omitted": True}
    named = kms("DescribeKey", KeyId="a" * 2_000).record
    assert named["requestParameters"] == {"keyId": "a" * 1_024, "omitted": True}


def test_a_context_within_bounds_is_recorded_whole(kms: Direct) -> None:
    context = {f"{n}": "v" * 79 for n in range(10, 110)}
    told = kms("Encrypt", KeyId=kms.key(), Plaintext=SECRET, EncryptionContext=context)
    assert told.record["requestParameters"]["encryptionContext"] == context
    assert "omitted" not in told.record["requestParameters"]


def test_a_context_that_no_line_may_be_broken_by(kms: Direct) -> None:
    context = {"a\nb": 'c"\n}{"', "\u2028": "\u0000"}
    record = kms("Encrypt", KeyId=kms.key(), Plaintext=SECRET, EncryptionContext=context).answer.record
    assert record is not None
    assert b"\n" not in record
    assert json.loads(record)["requestParameters"]["encryptionContext"] == context


def test_both_keys_of_a_reencryption_are_recorded_and_both_contexts(kms: Direct) -> None:
    one, two = kms.key(), kms.key()
    ciphertext = kms("Encrypt", KeyId=one, Plaintext=SECRET, EncryptionContext={"from": "a"}).body["CiphertextBlob"]
    record = kms(
        "ReEncrypt",
        CiphertextBlob=ciphertext,
        SourceEncryptionContext={"from": "a"},
        DestinationKeyId=two,
        DestinationEncryptionContext={"to": "b"},
    ).record
    assert [resource["ARN"][-36:] for resource in record["resources"]] == [one, two]
    assert record["requestParameters"] == {
        "destinationKeyId": two,
        "sourceEncryptionContext": {"from": "a"},
        "destinationEncryptionContext": {"to": "b"},
    }


def test_the_names_that_a_refused_request_used_are_recorded(kms: Direct) -> None:
    told = kms("DescribeKey", KeyId="alias/absent")
    assert told.record["requestParameters"] == {"keyId": "alias/absent"}
    key_id = kms.key()
    for operation, members in {
        "CreateAlias": {"AliasName": "alias/aws/s3", "TargetKeyId": key_id},
        "UpdateAlias": {"AliasName": "alias/absent", "TargetKeyId": key_id},
        "RevokeGrant": {"KeyId": key_id, "GrantId": "f" * 64},
    }.items():
        told = kms(operation, **members)
        assert told.code is not None
        assert told.record["requestParameters"] == {name[0].lower() + name[1:]: v for name, v in members.items()}


def test_a_request_that_is_not_authenticated_has_no_record(kms: Direct) -> None:
    forged = unsigned("ListKeys", {}, (b"authorization", b"AWS4-HMAC-SHA256 nonsense"))
    told = kms.send(forged)
    assert (told.code, told.answer.record) == ("IncompleteSignatureException", None)
    assert kms.service.refusals.counts == {"IncompleteSignatureException": 1}
    nowhere = HttpRequest(b"POST", b"/elsewhere", forged.headers[:3], b"{}", "192.0.2.7")
    assert (kms.send(nowhere).code, kms.send(nowhere).answer.record) == ("UnknownOperationException", None)


def test_the_record_of_a_change_is_in_its_transaction_and_not_in_its_answer(kms: Direct) -> None:
    assert kms("CreateKey").answer.record is None


def test_the_record_of_a_change_tells_what_was_made_and_no_token(tmp_path: Path) -> None:
    service = Service(Settings(data=tmp_path, development=True))
    kms = Direct(service)
    key_id = kms.key(Description="d", Tags=[{"TagKey": "team", "TagValue": "a"}])
    arn = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{key_id}"
    grantee = f"arn:aws:iam::{ACCOUNT}:root"
    grant = kms(
        "CreateGrant",
        KeyId=key_id,
        GranteePrincipal=grantee,
        Operations=["Encrypt"],
        Constraints={"EncryptionContextSubset": {"tenant": "a"}},
    ).body
    kms("DisableKey", KeyId=key_id)
    kms("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7)
    service.close()
    created, granted, disabled, scheduled = written(tmp_path / "audit")
    assert created["requestParameters"]["tags"] == [{"tagKey": "team", "tagValue": "a"}]
    assert created["responseElements"]["keyMetadata"]["arn"] == arn
    assert granted["requestParameters"] == {
        "keyId": key_id,
        "granteePrincipal": grantee,
        "operations": ["Encrypt"],
        "constraints": {"encryptionContextSubset": {"tenant": "a"}},
    }
    assert granted["responseElements"] == {"grantId": grant["GrantId"], "keyId": arn}
    assert disabled["responseElements"] == {"keyId": arn}
    assert scheduled["requestParameters"] == {"keyId": key_id, "pendingWindowInDays": 7}
    assert scheduled["responseElements"]["keyState"] == "PendingDeletion"
    assert re.fullmatch(SECOND, scheduled["responseElements"]["deletionDate"])
    assert not any(record["readOnly"] for record in (created, granted, disabled, scheduled))
    assert grant["GrantToken"] not in (tmp_path / "audit" / "0.jsonl").read_text()


def test_a_key_policy_is_recorded_whole(tmp_path: Path) -> None:
    """It is what auditors look for, and at most 32 KiB."""
    service = Service(Settings(data=tmp_path, development=True))
    kms = Direct(service)
    key_id = kms.key()
    statement = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{**statement, "Resource": "*"}] * 285})
    assert kms("PutKeyPolicy", KeyId=key_id, Policy=policy).code is None
    service.close()
    record = written(tmp_path / "audit")[-1]
    assert record["requestParameters"] == {"keyId": key_id, "policy": policy}
    assert 30_000 < len(policy) < 32_768


@pytest.mark.parametrize("half", ["\ud800", "a\udfff"])
def test_a_refusal_is_recorded_whatever_was_sent(kms: Direct, half: str) -> None:
    """Half a surrogate pair cannot be written down. What else there is to say is said."""
    caller = Caller(ACCOUNT, REGION, f"arn:{half}", f"AIDA{half}", USER)
    call = Call(kms.service.pipeline._services, caller, 1.7e9, "request", may_wait=True)
    trace = Trace(call, "kms.amazonaws.com", "Encrypt", unsigned("Encrypt", {}))
    trace.request = EncryptRequest(key_id=half, plaintext=b"x")
    with pytest.raises(UnicodeEncodeError):
        trace.record(AccessDeniedException("no"))
    record = json.loads(trace.refused(AccessDeniedException(half)))
    assert (record["eventName"], record["errorCode"]) == ("Encrypt", "AccessDeniedException")
    assert (record["requestID"], record["eventID"]) == ("request", trace.event_id)
    assert record["userIdentity"]["principalId"] == f"AIDA{half.replace(half[-1], '?')}"
    assert record["recipientAccountId"] == ACCOUNT
    assert list(record)[-1] == "additionalEventData"


def test_what_is_shown_of_requests_and_answers_holds_no_secret() -> None:
    token = (b"x-amz-security-token", b"a-session-token")
    shown = repr(HttpRequest(b"POST", b"/?a-query", [token], SECRET, "192.0.2.7"))
    shown += repr(Answer(200, b"text/xml", b"<SecretAccessKey>a-secret", "request", b"a-record"))
    assert not any(secret in shown for secret in ("a-session-token", "plaintext", "a-secret", "a-record", "a-query"))
    assert "request" in shown


def identity_of(kms: Direct, caller: Caller) -> Any:
    call = Call(kms.service.pipeline._services, caller, 1.7e9, "r", may_wait=True)
    http = unsigned("ListKeys", {})
    return json.loads(Trace(call, "kms.amazonaws.com", "ListKeys", http).record())["userIdentity"]


def test_the_identity_of_a_user(kms: Direct) -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:user/staff/alice"
    assert identity_of(kms, Caller(ACCOUNT, REGION, arn, "AIDA1", USER, "AKIA1", "AIDA1")) == {
        "type": "IAMUser",
        "principalId": "AIDA1",
        "arn": arn,
        "accountId": ACCOUNT,
        "accessKeyId": "AKIA1",
        "userName": "alice",
    }


def test_the_identity_of_a_session_of_a_role(kms: Direct) -> None:
    """CloudTrail User Guide, "CloudTrail userIdentity element": sessionIssuer, webIdFederationData, attributes."""
    role = f"arn:aws:iam::{ACCOUNT}:role/service/deploy"
    provider = f"arn:aws:iam::{ACCOUNT}:oidc-provider/issuer.example"
    session = Session("s", 1_767_225_600.0, 1_767_229_200.0, federated=provider, web_user="sub", source_identity="al")
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/deploy/s"
    caller = Caller(ACCOUNT, REGION, arn, "AROA1:s", ASSUMED_ROLE, "ASIA1", "AROA1", role, session)
    assert identity_of(kms, caller) == {
        "type": "AssumedRole",
        "principalId": "AROA1:s",
        "arn": arn,
        "accountId": ACCOUNT,
        "accessKeyId": "ASIA1",
        "sessionContext": {
            "sessionIssuer": {
                "type": "Role",
                "principalId": "AROA1",
                "arn": role,
                "accountId": ACCOUNT,
                "userName": "deploy",
            },
            "webIdFederationData": {"federatedProvider": provider, "attributes": {}},
            "attributes": {"creationDate": "2026-01-01T00:00:00Z", "mfaAuthenticated": "false"},
            "sourceIdentity": "al",
        },
    }


def test_the_identity_of_a_session_of_a_user(kms: Direct) -> None:
    session = Session("", 1_767_225_600.0, 1_767_229_200.0, mfa_at=1_767_225_600.0)
    caller = Caller(ACCOUNT, REGION, f"arn:aws:iam::{ACCOUNT}:user/a", "AIDA1", USER, "ASIA1", "AIDA1", None, session)
    assert identity_of(kms, caller)["sessionContext"] == {
        "attributes": {"creationDate": "2026-01-01T00:00:00Z", "mfaAuthenticated": "true"}
    }


def test_the_identity_of_whoever_comes_with_a_web_identity(kms: Direct) -> None:
    """CloudTrail User Guide, "Values for AWS STS APIs with SAML and web identity federation"."""
    session = Session("s", 1.0, 2.0, federated="issuer.example", web_user="sub")
    caller = Caller(ACCOUNT, REGION, "", "issuer.example:aud:sub", WEB_IDENTITY, session=session)
    assert identity_of(kms, caller) == {
        "type": "WebIdentityUser",
        "principalId": "issuer.example:aud:sub",
        "userName": "sub",
        "identityProvider": "issuer.example",
    }
