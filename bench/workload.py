# SPDX-License-Identifier: Apache-2.0
"""What is asked of a server that speaks the wire of AWS KMS: the bodies of each measure, no two alike, and what of the
answers later requests need. Users take turns, and keys do."""

import base64
import json
import os
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import authorization
import load
import signing
from contestants import Contestant
from run import PLAINTEXT_BYTES, Failed

SYMMETRIC: Final = "SYMMETRIC_DEFAULT"
HMAC: Final = "HMAC_256"
P256: Final = "ECC_NIST_P256"
#: Measure -> the key spec and the algorithm that it signs with.
SIGNING: Final = {
    "Sign, P-256": (P256, "ECDSA_SHA_256"),
    "Sign, Ed25519": ("ECC_NIST_EDWARDS25519", "ED25519_SHA_512"),
    "Sign, secp256k1": ("ECC_SECG_P256K1", "ECDSA_SHA_256"),
    "Sign, RSA-2048": ("RSA_2048", "RSASSA_PKCS1_V1_5_SHA_256"),
    "Sign, ML-DSA-65": ("ML_DSA_65", "ML_DSA_SHAKE_256"),
}
ENCRYPT, DECRYPT, DATA_KEY = "Encrypt", "Decrypt", "GenerateDataKey"
THREE: Final = (ENCRYPT, DECRYPT, DATA_KEY)
SIGN: Final = "Sign, P-256"
VERIFY: Final = "Verify, P-256"
MAC: Final = "GenerateMac"
DESCRIBE: Final = "DescribeKey"
MIX: Final = "mix"
MEASURES: Final = (*THREE, *SIGNING, VERIFY, MAC, DESCRIBE, MIX)
#: Measures whose cryptography takes so long that fewer requests tell as much.
SHARE: Final = {"Sign, RSA-2048": 0.2, "Sign, ML-DSA-65": 0.3}

_MANAGED: Final = ("kms:ListKeys", "kms:CreateAlias", "kms:UpdateAlias", "kms:TagResource")
_USED: Final = ("kms:Sign", "kms:Verify", "kms:GenerateMac")
ALIASES: Final = 50

#: Of a hundred requests of the mix: 80 data keys made or decrypted, 15 signatures made or verified, 5 to manage keys.
_MIX: Final = (DATA_KEY, DECRYPT) * 40 + (SIGN, VERIFY) * 7 + (SIGN,)

Asked = tuple[str, bytes]  # an operation, and its body


def usage(spec: str) -> str:
    return {SYMMETRIC: "ENCRYPT_DECRYPT", HMAC: "GENERATE_VERIFY_MAC"}.get(spec, "SIGN_VERIFY")


class Keys(NamedTuple):
    """IDs by key spec."""

    by_spec: dict[str, list[str]]

    def of(self, spec: str, number: int) -> str:
        ids = self.by_spec[spec]
        return ids[number % len(ids)]

    @classmethod
    def new(cls, count: int) -> "Keys":
        """``count`` in all, most of them symmetric."""
        each = max(2, count // 50)
        specs = [HMAC, *(spec for spec, _ in SIGNING.values())]
        few = {spec: [str(uuid.uuid4()) for _ in range(each)] for spec in specs}
        return cls({SYMMETRIC: [str(uuid.uuid4()) for _ in range(count - each * len(specs))], **few})


def seed(path: Path, keys: Keys) -> None:
    """Users and keys, as a seed file of keyquorum: each user's and each key's policy has conditions."""
    lines = []
    for number in range(authorization.USERS):
        access, policy = authorization.access_of(number), authorization.identity_policy(number, *_USED, *_MANAGED)
        lines += ["[[user]]", f'name = "{authorization.user(number)}"', f'access_key_id = "{access.access_key_id}"']
        lines += [f'secret_access_key = "{access.secret}"', f"policy = '{policy}'"]
    named = [(spec, key) for spec, ids in keys.by_spec.items() for key in ids]
    for number, (spec, key) in enumerate(named):
        policy = authorization.key_policy(number % authorization.POLICIES)
        lines += ["[[key]]", f'id = "{key}"', f'spec = "{spec}"', f"policy = '{policy}'"]
        lines.append(f'usage = "{usage(spec)}"')
        if spec == SYMMETRIC and number < ALIASES:
            lines.append(f'aliases = ["alias/updated-{number}"]')
    path.write_text("\n".join(lines))


class Workload:
    """The requests of one server, and what it answered. ``silent``: one that has no keys, and answers a constant.
    ``measures``: what it can do."""

    def __init__(
        self, server: Contestant, keys: Keys, users: Sequence[signing.Access], measures: Sequence[str], *, silent: bool
    ) -> None:
        self.server = server
        self.measures = measures
        self.keys = keys
        self.users = users
        self._silent = silent
        self._plaintexts: list[bytes] = []
        self._ciphertexts = [_base64(os.urandom(140))] * 3
        self._messages: dict[str, list[bytes]] = {SIGN: [os.urandom(32)]}
        self._signatures = [_base64(os.urandom(71))]

    def prepare(self, measure: str, count: int) -> list[bytes]:
        """The requests, signed. Decrypt comes after Encrypt, Verify after Sign, and the mix after all."""
        if measure == ENCRYPT:
            self._plaintexts = [os.urandom(PLAINTEXT_BYTES) for _ in range(count)]
        if measure in SIGNING:
            self._messages[measure] = [os.urandom(32) for _ in range(count)]
        return self.signed([self._asked(measure, number) for number in range(count)])

    def signed(self, asked: list[Asked]) -> list[bytes]:
        """The requests in the same order, each of another user than the one before."""
        groups: dict[tuple[int, str], list[int]] = {}
        for number, (operation, _) in enumerate(asked):
            groups.setdefault((number % len(self.users), operation), []).append(number)
        requests = [b""] * len(asked)
        for (user, operation), numbers in groups.items():
            bodies = [asked[number][1] for number in numbers]
            made = signing.sign(self.users[user], self.server.host, operation, bodies)
            for number, request in zip(numbers, made, strict=True):
                requests[number] = request
        return requests

    def note(self, measure: str, answers: list[bytes]) -> None:
        """Keep what later requests need. Raises Failed if an answer is not what it should be."""
        if self._silent:
            return
        some = range(0, len(answers), max(1, len(answers) // 50))
        if measure == ENCRYPT:
            self._ciphertexts = [json.loads(answer)["CiphertextBlob"] for answer in answers]
        elif measure == DECRYPT:
            for number in some:
                plaintext = self._plaintexts[number % len(self._plaintexts)]
                if base64.b64decode(json.loads(answers[number])["Plaintext"]) != plaintext:
                    raise Failed("a Decrypt answered another plaintext than was encrypted")
        elif measure == SIGN:
            self._signatures = [json.loads(answer)["Signature"] for answer in answers]
        elif measure in SIGNING:
            bodies = [self._verify(measure, number, json.loads(answers[number])["Signature"]) for number in some]
            outcome = load.run(self.server.address, self.signed([("Verify", body) for body in bodies]))
            if outcome.failures:
                raise Failed(f"{measure}: {outcome.failures[0]}")
        elif measure == VERIFY and not all(json.loads(answers[number])["SignatureValid"] for number in some):
            raise Failed("a signature is not valid")

    # -- bodies

    def _asked(self, measure: str, number: int) -> Asked:
        if measure == MIX:
            # 37 and 100 have no common divisor: kinds alternate, and a hundred has each as often as it should be.
            place = number * 37 % 100
            if place >= len(_MIX):
                return self._managed(place - len(_MIX), number)
            return self._asked(_MIX[place], number)
        if measure in SIGNING:
            spec, algorithm = SIGNING[measure]
            message = self._messages[measure][number % len(self._messages[measure])]
            body = _body(KeyId=self.keys.of(spec, number), Message=_base64(message), SigningAlgorithm=algorithm)
            return "Sign", body
        if measure == VERIFY:
            number %= len(self._signatures)
            return "Verify", self._verify(SIGN, number, self._signatures[number])
        return measure, self._bodies[measure](self, number)

    def _encrypt(self, number: int) -> bytes:
        return signing.encrypt_body(self.keys.of(SYMMETRIC, number), self._plaintexts[number], number)

    def _decrypt(self, number: int) -> bytes:
        number %= len(self._ciphertexts)
        return signing.decrypt_body(self._ciphertexts[number], number)

    def _data_key(self, number: int) -> bytes:
        return signing.data_key_body(self.keys.of(SYMMETRIC, number), 16 + number // 1000 % 32, number)

    def _mac(self, number: int) -> bytes:
        key = self.keys.of(HMAC, number)
        return _body(KeyId=key, Message=_base64(os.urandom(32)), MacAlgorithm="HMAC_SHA_256")

    def _describe(self, number: int) -> bytes:
        return _body(KeyId=self.keys.of(SYMMETRIC, number))

    def _verify(self, measure: str, number: int, signature: str) -> bytes:
        spec, algorithm = SIGNING[measure]
        message = _base64(self._messages[measure][number])
        key = self.keys.of(spec, number)
        return _body(KeyId=key, Message=message, SigningAlgorithm=algorithm, Signature=signature)

    def _managed(self, which: int, number: int) -> Asked:
        key = self.keys.of(SYMMETRIC, number)
        tag = {"TagKey": "used", "TagValue": str(number)}
        return (
            ("ListKeys", _body(Limit=3 + number % 5)),
            ("DescribeKey", _body(KeyId=key)),
            ("TagResource", _body(KeyId=key, Tags=[tag])),
            ("CreateAlias", _body(AliasName=f"alias/{uuid.uuid4()}", TargetKeyId=key)),
            ("UpdateAlias", _body(AliasName=f"alias/updated-{number % ALIASES}", TargetKeyId=key)),
        )[which]

    _bodies: Final[dict[str, Callable[["Workload", int], bytes]]] = {
        ENCRYPT: _encrypt,
        DECRYPT: _decrypt,
        DATA_KEY: _data_key,
        MAC: _mac,
        DESCRIBE: _describe,
    }


def _body(**members: Any) -> bytes:
    return json.dumps(members).encode()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
