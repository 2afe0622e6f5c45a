# SPDX-License-Identifier: Apache-2.0
"""The log of a running server: bound to requests by their IDs, and without a secret in it."""

import json
from collections.abc import Callable

import pytest
from servers import Access, Production, behind_its_back, code_of


@pytest.mark.parametrize("style", ["json", "human"])
def test_lines_about_a_request_name_it(start: Callable[..., Production], style: str) -> None:
    server = start("--log-format", style, "--log-level", "debug")
    kms = server.client()
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    refused = server.signed("ListKeys", {}, Access(server.root.key_id, "a wrong secret"))
    with behind_its_back(server.database) as database:
        database.execute("UPDATE keys SET description = 'edited'")
    damaged = server.signed("DescribeKey", {"KeyId": key_id})
    assert (refused.fault, damaged.fault) == ((400, "InvalidSignatureException"), (500, "KMSInternalException"))
    lines = server.stderr.read_text().splitlines()
    for answer in (refused, damaged):
        about = [line for line in lines if answer.headers["x-amzn-requestid"] in line]
        assert about
        if style == "json":
            assert {json.loads(line)["request_id"] for line in about} == {answer.headers["x-amzn-requestid"]}
    if style == "json":
        assert all(json.loads(line)["time"] for line in lines)


def test_no_secret_is_logged(start: Callable[..., Production]) -> None:
    server = start("--log-level", "debug", "--log-format", "json")
    kms = server.client()
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"MARKED-PLAINTEXT", EncryptionContext={"MARKED-NAME": "MARKED-VALUE"})
    assert code_of(kms.decrypt, CiphertextBlob=blob["CiphertextBlob"]) == "InvalidCiphertextException"
    secret = "MARKED-SECRET-ACCESS-KEY"
    server.signed("Encrypt", {"KeyId": key_id, "Plaintext": "TUFSS0VE"}, Access(server.root.key_id, secret))
    server.raw(
        b"POST / HTTP/1.1\r\nHost: MARKED-HOST\r\nAuthorization: MARKED-AUTHORIZATION\r\nContent-Length: 0\r\n\r\n"
    )
    server.stop()
    text = server.stderr.read_text()
    assert "authentication failed" in text
    for mark in ("MARKED", "TUFSS0VE", server.root.secret):
        assert mark not in text
