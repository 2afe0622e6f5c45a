# SPDX-License-Identifier: Apache-2.0
"""Operations x kinds of key: what scripts/operations_table.py says of each, the request that drives it, and others'
implementations to judge the answers by."""

import hashlib
import os
import re
import runpy
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
)

_TABLE = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "operations_table.py"))

WITHOUT_KEY: tuple[str, ...] = _TABLE["WITHOUT_KEY"]
PAIR_SPECS: tuple[str, ...] = _TABLE["PAIR_SPECS"]
accepts: Callable[[str, "Kind"], bool] = _TABLE["accepts"]

_SLOW = {"RSA_3072", "RSA_4096"}  # generating one takes up to seconds


class Kind(NamedTuple):
    spec: str
    usage: str

    @property
    def algorithms(self) -> tuple[str, ...]:
        found: tuple[str, ...] = _TABLE["SPECS"][self.spec].usages[self.usage]
        return found

    @property
    def imported(self) -> bool:
        return bool(_TABLE["SPECS"][self.spec].imported)


KINDS = [Kind(*kind) for kind in _TABLE["KINDS"]]


def cases(kinds: list[Kind]) -> pytest.MarkDecorator:
    """A parametrization over kinds; those that take long to generate are slow."""
    slow = (pytest.mark.slow,)
    found = [pytest.param(k, id="-".join(k), marks=slow if k.spec in _SLOW else ()) for k in kinds]
    return pytest.mark.parametrize("kind", found)


def spec_cases(specs: Iterable[str]) -> pytest.MarkDecorator:
    slow = (pytest.mark.slow,)
    return pytest.mark.parametrize("spec", [pytest.param(s, marks=slow if s in _SLOW else ()) for s in specs])


class Stock:
    """One key of each kind, made when it is first asked for; no test may change it."""

    def __init__(self, kms: Any) -> None:
        self._kms = kms
        self._keys: dict[tuple[Kind, str], dict[str, Any]] = {}

    def key(self, kind: Kind, **arguments: Any) -> dict[str, Any]:
        """Its KeyMetadata. ``arguments``: more members of CreateKey, with which the key is another one."""
        name = (kind, repr(sorted(arguments.items())))
        if name not in self._keys:
            made = self._kms.create_key(KeySpec=kind.spec, KeyUsage=kind.usage, **arguments)
            self._keys[name] = made["KeyMetadata"]
        return self._keys[name]

    def public_key(self, kind: Kind) -> bytes:
        return bytes(self._kms.get_public_key(KeyId=self.key(kind)["KeyId"])["PublicKey"])


def snake(operation: str) -> str:
    """boto3's name for an operation."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower()


def call(kms: Any, operation: str, **arguments: Any) -> dict[str, Any]:
    answer: dict[str, Any] = getattr(kms, snake(operation))(**arguments)
    answer.pop("ResponseMetadata")
    return answer


def outcome(kms: Any, operation: str, **arguments: Any) -> tuple[str, str]:
    """(code, message) of a refusal; ("", "") for a success."""
    try:
        call(kms, operation, **arguments)
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["Error"]["Message"]
    return "", ""


# -- messages


def message_for(algorithm: str, message: bytes) -> tuple[str, bytes]:
    """MessageType and Message to sign ``message``, by an algorithm that takes RAW or, the prehashed one, DIGEST."""
    if algorithm == "ED25519_PH_SHA_512":
        return "DIGEST", hashlib.sha512(message).digest()
    return "RAW", message


def digest(algorithm: str, message: bytes) -> bytes:
    """What an algorithm named ..._SHA_nnn hashes a message to."""
    return hashlib.new(algorithm[-7:].replace("_", "").lower(), message).digest()


# -- the encodings of imports


_HASHES: dict[str, hashes.SHA1 | hashes.SHA256] = {"SHA_1": hashes.SHA1(), "SHA_256": hashes.SHA256()}


def wrap(public_key: bytes, algorithm: str, material: bytes) -> bytes:
    """EncryptedKeyMaterial, as the developer guide has clients make it."""
    public = load_der_public_key(public_key)
    assert isinstance(public, rsa.RSAPublicKey)
    hash_ = _HASHES[algorithm[-7:] if algorithm.endswith("256") else algorithm[-5:]]
    oaep = padding.OAEP(padding.MGF1(hash_), hash_, None)
    if algorithm.startswith("RSAES_OAEP"):
        return public.encrypt(material, oaep)
    aes = os.urandom(32)
    return public.encrypt(aes, oaep) + aes_key_wrap_with_padding(aes, material)


_CURVES: dict[str, ec.EllipticCurve] = {
    "ECC_NIST_P256": ec.SECP256R1(),
    "ECC_NIST_P384": ec.SECP384R1(),
    "ECC_NIST_P521": ec.SECP521R1(),
    "ECC_SECG_P256K1": ec.SECP256K1(),
}
_KEY_BYTES = {"SYMMETRIC_DEFAULT": 32, "HMAC_224": 28, "HMAC_256": 32, "HMAC_384": 48, "HMAC_512": 64}

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class Own(NamedTuple):
    """Key material made here: what is imported, and the private key it holds, if it is one."""

    material: bytes
    private: Any = None

    @property
    def public_key(self) -> bytes:
        encoded: bytes = self.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return encoded


def own(spec: str) -> Own:
    """New material of the spec, as it is imported."""
    if spec in _KEY_BYTES:
        return Own(os.urandom(_KEY_BYTES[spec]))
    private: PrivateKey
    if spec in _CURVES:
        private = ec.generate_private_key(_CURVES[spec])
    else:
        private = rsa.generate_private_key(65537, int(spec.removeprefix("RSA_")))
    return Own(private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()), private)


def wrapping_algorithm(spec: str) -> str:
    """One that every material of the spec can be wrapped with under RSA_2048."""
    return "RSAES_OAEP_SHA_256" if spec in _KEY_BYTES else "RSA_AES_KEY_WRAP_SHA_256"


def import_request(
    kms: Any, key_id: str, spec: str, material: bytes, *, wrapping: str = "RSA_2048", algorithm: str = ""
) -> dict[str, Any]:
    """The members of an ImportKeyMaterial that does not expire."""
    algorithm = algorithm or wrapping_algorithm(spec)
    parameters = kms.get_parameters_for_import(KeyId=key_id, WrappingAlgorithm=algorithm, WrappingKeySpec=wrapping)
    return {
        "KeyId": key_id,
        "ImportToken": parameters["ImportToken"],
        "EncryptedKeyMaterial": wrap(parameters["PublicKey"], algorithm, material),
        "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE",
    }


# -- keys with imported material

FOREVER = "KEY_MATERIAL_DOES_NOT_EXPIRE"
EXPIRES = "KEY_MATERIAL_EXPIRES"
NEW, EXISTING = "NEW_KEY_MATERIAL", "EXISTING_KEY_MATERIAL"
SYMMETRIC = Kind("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
MAC = Kind("HMAC_256", "GENERATE_VERIFY_MAC")
SIGNING = Kind("ECC_NIST_P256", "SIGN_VERIFY")


def external(kms: Any, kind: Kind = SYMMETRIC, **arguments: Any) -> Any:
    """The KeyMetadata of a new key that waits for its material."""
    made = kms.create_key(KeySpec=kind.spec, KeyUsage=kind.usage, Origin="EXTERNAL", **arguments)
    return made["KeyMetadata"]


def described(kms: Any, key: Any) -> dict[str, Any]:
    found: dict[str, Any] = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
    return found


def put(kms: Any, key: Any, material: bytes, **changes: Any) -> dict[str, Any]:
    """Import the material; ``changes`` replace members of the request, or take them away with None."""
    request = {**import_request(kms, key["KeyId"], key["KeySpec"], material), **changes}
    return call(kms, "ImportKeyMaterial", **{name: value for name, value in request.items() if value is not None})


def refusal(kms: Any, key: Any, material: bytes, **changes: Any) -> tuple[str, str]:
    """What ``put`` would be refused with."""
    request = {**import_request(kms, key["KeyId"], key["KeySpec"], material), **changes}
    members = {name: value for name, value in request.items() if value is not None}
    return outcome(kms, "ImportKeyMaterial", **members)


def entries(kms: Any, key: Any) -> list[dict[str, Any]]:
    """All materials of a key."""
    found: list[dict[str, Any]] = kms.list_key_rotations(KeyId=key["KeyId"], IncludeKeyMaterial="ALL_KEY_MATERIAL")[
        "Rotations"
    ]
    return found
