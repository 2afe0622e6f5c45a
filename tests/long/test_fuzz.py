# SPDX-License-Identifier: Apache-2.0
"""20,000 damaged requests to a production server: each is answered with a success or with a fault of the caller's, in
its own place, or the connection ends; never a 5xx, a hang, another's answer or a stack trace."""

import base64
import contextlib
import json
import random
import re
import socket
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from http_wire import Response, Wire
from mutation import Mutator
from processes import audit_records, complaints, kill_all
from servers import ACCOUNT, REGION, Production
from wire_signing import Request, Signer

from keyquorum.server.front import Limits

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

CHUNKS, REQUESTS = 10, 2_000
SECONDS = 5  # without a byte, and it is a hang

# Kinds of damage and how often. The first are signed after the damage and framed well.
FRAMED = {
    "semantic": 30, "any_operation": 5, "json_types": 20, "body_bytes": 8, "targets": 5, "forms": 4, "own_operation": 6,
}  # fmt: skip
BROKEN = {"headers": 10, "framing": 8, "lines": 3, "anything": 10}
KINDS = {**FRAMED, **BROKEN}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    """One server for all; after the last request it still answers, and its logs are sound."""
    running = Production(tmp_path_factory.mktemp("fuzz"))
    try:
        yield running
        assert running.signed("GenerateRandom", {"NumberOfBytes": 7}).status == 200
        assert audit_records(running.data)
        running.stop()
        assert complaints(running) == []
    finally:
        kill_all(running)


def known_values(server: Production, dice: random.Random) -> dict[str, list[Any]]:
    """By member name: what this server has, and what looks like it. An empty list: better left out."""
    ids = []
    ciphertexts = []
    for number in range(6):
        key_id = server.signed("CreateKey", {"Description": "fuzz"}).json["KeyMetadata"]["KeyId"]
        server.signed("CreateAlias", {"AliasName": f"alias/{key_id[:8]}", "TargetKeyId": key_id})
        context = {"EncryptionContext": {"a": "b"}} if number % 2 else {}
        answer = server.signed("Encrypt", {"KeyId": key_id, "Plaintext": "YWJj", **context})
        ciphertexts.append(answer.json["CiphertextBlob"])
        ids.append(key_id)
    raw = base64.b64decode(ciphertexts[0])
    for cut in (raw[:-1], raw + b"\0", raw[:20], bytes([raw[0] ^ 1]) + raw[1:], raw[:-1] + bytes([raw[-1] ^ 1])):
        ciphertexts.append(base64.b64encode(cut).decode())
    names = [f"alias/{key_id[:8]}" for key_id in ids]
    arn = f"arn:aws:kms:{REGION}:{ACCOUNT}:"
    strange = [
        "", "alias/", "alias/absent", "alias/aws/kms", ids[0].upper(), ids[0][:-1], "mrk-" + "0" * 32, "a" * 36, "arn:",
        f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/{ids[0]}", f"arn:aws:kms:{REGION}:999999999999:key/{ids[0]}",
        f"arn:aws:verenc:{ACCOUNT}:key/{ids[0]}", f"{arn}key/", f"{arn}key/{ids[0]}/x", f"{arn}{ids[0]}",
        f"arn:aws-cn:kms:{REGION}:{ACCOUNT}:key/{ids[0]}", f"{arn}alias/absent", "00000000-0000-0000-0000-000000000000",
    ]  # fmt: skip
    keys = [*ids * 8, *(f"{arn}key/{i}" for i in ids), *names, *(f"{arn}{name}" for name in names), *strange]
    policy = server.signed("GetKeyPolicy", {"KeyId": ids[0]}).json["Policy"]
    policies = [
        policy,
        policy,
        policy[:-1],
        "{}",
        "[]",
        "null",
        policy.replace("Allow", "Maybe"),
        policy + " " * 33_000,
    ]
    page = server.signed("ListKeys", {"Limit": 1}).json["NextMarker"]
    return {
        "keyId": keys, "targetKeyId": keys, "sourceKeyId": keys, "destinationKeyId": keys,
        "aliasName": [*names, *(f"alias/{dice.randbytes(3).hex()}" for _ in range(8)), "alias/aws/x", "alias/ "],
        "ciphertextBlob": [*ciphertexts[:6], *ciphertexts],
        "plaintext": ["YWJj", base64.b64encode(b"p" * 4096).decode()],
        "encryptionContext": [{}, {"a": "b"}, {"a": "b"}, {"": ""}, {"\u00e9": "\U0001f600"}],
        "encryptionAlgorithm": ["SYMMETRIC_DEFAULT"], "sourceEncryptionAlgorithm": ["SYMMETRIC_DEFAULT"],
        "destinationEncryptionAlgorithm": ["SYMMETRIC_DEFAULT"],
        "policy": policies, "policyName": ["default"], "marker": [page, page[:-1]],
        "keySpec": ["SYMMETRIC_DEFAULT", "AES_256"], "numberOfBytes": [1, 16, 1024],
        "pendingWindowInDays": [7, 30], "keyUsage": ["ENCRYPT_DECRYPT"], "origin": ["AWS_KMS"],
        "dryRun": [False, False, True], "grantTokens": [[]], "tagKeys": [["a"], ["aws:b"], []],
        "recipient": [], "customKeyStoreId": [], "xksKeyId": [], "multiRegion": [], "customerMasterKeySpec": [],
    }  # fmt: skip


class Answers:
    """Judges what comes back."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def judge(self, response: Response) -> None:
        status, body = response.status, response.body
        assert 200 <= status < 300 or 400 <= status < 500, response
        assert b"Traceback" not in body
        assert b'File "' not in body
        assert response.headers["x-amzn-requestid"]
        media_type = response.headers["content-type"].partition(";")[0]
        if media_type == "text/xml":
            root = ET.fromstring(body)
            code = root.findtext(".//{*}Code") or ""
            assert bool(code) is (status >= 400)
        elif media_type == "text/plain":
            assert status == 200
            code = ""
        else:
            assert media_type in ("application/x-amz-json-1.0", "application/x-amz-json-1.1")
            shown = json.loads(body) if body else {}
            code = shown.get("__type", "")
            assert re.fullmatch(r"[A-Za-z]+Exception", code) if status >= 400 else code == ""
        self.seen[code or "success"] += 1


class Marker(NamedTuple):
    """A request whose answer cannot be mistaken for another's: so many random bytes, a number not used again soon."""

    size: int
    request: Request

    def is_answered_by(self, response: Response) -> bool:
        found = re.fullmatch(rb'\{"Plaintext":"([^"]*)"\}', response.body)
        return found is not None and len(base64.b64decode(found[1])) == self.size


class Fuzzer:
    def __init__(self, server: Production, seed: int) -> None:
        self.dice = random.Random(seed)
        self.answers = Answers()
        self.sending = b""
        self._server = server
        self._signer = Signer(server, server.root)
        self._mutator = Mutator(self.dice, self._signer, known_values(server, self.dice))
        self._wire: Wire | None = None
        self._size = 32

    def one(self) -> None:
        [kind] = self.dice.choices(list(KINDS), list(KINDS.values()))
        made: Request | bytes = getattr(self._mutator, kind)()
        data = made if isinstance(made, bytes) else made.wire()
        if kind in FRAMED:
            assert isinstance(made, Request)
            self._in_its_place(data, too_large=len(made.body) > Limits().body_bytes)
        elif self.dice.random() < 0.05:
            self._and_gone(data)
        else:
            self._to_the_end(data)

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()

    def marker(self) -> Marker:
        self._size = self._size % 900 + 33  # of no size that the mutator knows
        return Marker(self._size, self._signer.request("GenerateRandom", b'{"NumberOfBytes":%d}' % self._size))

    def _in_its_place(self, data: bytes, *, too_large: bool) -> None:
        """Pipelined with a marker on a connection that lives on: both are answered, in this order."""
        if self._wire is None:
            self._wire = self._server.connect()
            self._wire.sock.settimeout(SECONDS)
        wire, marker = self._wire, self.marker()
        self.sending = data + marker.request.wire()
        if too_large:
            with contextlib.suppress(ConnectionError):
                wire.send(self.sending)
                assert wire.response().status == 413
            wire.close()
            self._wire = None
            return
        self._send(wire, self.sending)
        response = wire.response()
        self.answers.judge(response)
        assert not response.closes
        assert marker.is_answered_by(wire.response())

    def _to_the_end(self, data: bytes) -> None:
        """Between two markers on a connection of its own, of which we close our side; the server closes the other."""
        before, after = self.marker(), self.marker()
        self.sending = before.request.wire() + data + after.request.wire()
        wire = self._server.connect()
        wire.sock.settimeout(SECONDS)
        try:
            self._send(wire, self.sending)
            with contextlib.suppress(OSError):  # ENOTCONN: the server was first
                wire.sock.shutdown(socket.SHUT_WR)
            responses = list(self._responses(wire))
        except ConnectionError:
            return  # refused and closed while we were sending
        finally:
            wire.close()
        assert before.is_answered_by(responses[0])
        assert len(responses) <= 4
        for response in responses[1:]:
            self.answers.judge(response)
            assert not before.is_answered_by(response)
        places = [place for place, response in enumerate(responses) if after.is_answered_by(response)]
        assert places in ([], [len(responses) - 1])
        if any(response.closes for response in responses[:-1]):
            pytest.fail("an answer after one that closes")

    def _responses(self, wire: Wire) -> Iterator[Response]:
        while wire.buffer or wire._more():
            response = wire.response()
            if response.status != 100:
                yield response

    def _and_gone(self, data: bytes) -> None:
        """The client does not wait."""
        wire = self._server.connect()
        self.sending = data
        with contextlib.suppress(ConnectionError):
            self._send(wire, data[: self.dice.randint(1, len(data))])
        wire.close()

    def _send(self, wire: Wire, data: bytes) -> None:
        """At once, or in pieces that arrive one after the other."""
        if self.dice.random() < 0.15:
            cuts = sorted(self.dice.randrange(len(data) + 1) for _ in range(self.dice.randint(1, 3)))
            for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
                wire.send(data[begin:end])
                time.sleep(0.001)
        else:
            wire.send(data)


@pytest.mark.parametrize("seed", range(CHUNKS))
def test_damaged_requests_are_answered_as_the_callers_fault(server: Production, seed: int) -> None:
    with contextlib.closing(Fuzzer(server, seed)) as fuzzer:
        for number in range(REQUESTS):
            try:
                fuzzer.one()
            except (AssertionError, OSError, LookupError, ValueError, ET.ParseError) as error:
                sent = fuzzer.sending
                told = f"seed {seed}, request {number}: {error!r} after {len(sent)} bytes {sent[:3000]!r}"
                raise AssertionError(told) from error
    # The damage went deep: into the operations, their arguments, the JSON and the signatures.
    assert fuzzer.answers.seen["success"] > REQUESTS / 20
    assert {"NotFoundException", "SerializationException", "ValidationException", "InvalidSignatureException",
            "MalformedHttpRequestException", "UnknownOperationException"} <= set(fuzzer.answers.seen)  # fmt: skip
