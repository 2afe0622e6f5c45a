# SPDX-License-Identifier: Apache-2.0
"""What the server hands out to be handed back: markers, import tokens and grant tokens. Each is read back as it was
given, for what it was given for, and nothing else is."""

import base64
import hashlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key
from direct import ACCOUNT, Direct, Told, development
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from regions import ask
from stored import keyring

from keyquorum.errors import InvalidMarkerException
from keyquorum.wire.paging import Marker

ROOT = f"arn:aws:iam::{ACCOUNT}:root"
GRANT = {"GranteePrincipal": ROOT, "Operations": ["DescribeKey"]}
RING = keyring()
MARKER = Marker(bytes(32))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
DIFFERENT = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def damaged(draw: st.DrawFn, good: bytes) -> bytes:
    """``good``, changed at one place or cut, or with something added, or in another order."""
    place = draw(st.integers(0, len(good) - 1))
    changes: list[Callable[[], bytes]] = [
        lambda: good[:place] + bytes((good[place] ^ draw(st.integers(1, 255)),)) + good[place + 1 :],
        lambda: good[:place],
        lambda: good[place + 1 :],
        lambda: good[:place] + draw(st.binary(min_size=1, max_size=9)) + good[place:],
        lambda: good + draw(st.binary(min_size=1, max_size=9)),
        lambda: good[:place] + good[place + 1 :],
        lambda: good[place:] + good[:place],
        lambda: good + good,
    ]
    return draw(st.sampled_from(changes))()


# -- the two ways of making them


@given(TEXTS, st.binary(max_size=60), TEXTS)
def test_a_token_opens_for_its_purpose_only(purpose: str, content: bytes, other: str) -> None:
    token = RING.seal_token(purpose, content)
    assert RING.open_token(purpose, token) == content
    assert (RING.open_token(other, token) == content) == (other == purpose)
    assert RING.seal_token(purpose, content) != token


@given(st.data(), st.binary(max_size=20))
def test_a_damaged_token_does_not_open(data: st.DataObject, content: bytes) -> None:
    token = RING.seal_token("purpose", content)
    other = data.draw(damaged(token))
    assert other == token or RING.open_token("purpose", other) is None


@given(st.binary(max_size=120))
def test_no_other_bytes_open(token: bytes) -> None:
    assert RING.open_token("purpose", token) is None


@given(TEXTS, TEXTS, TEXTS)
def test_a_marker_is_read_for_its_list_only(scope: str, position: str, other: str) -> None:
    marker = MARKER.issue(scope, position)
    assert MARKER.read(scope, marker) == position
    if other != scope:
        with pytest.raises(InvalidMarkerException):
            MARKER.read(other, marker)


@given(st.data(), TEXTS)
def test_a_damaged_marker_is_refused(data: st.DataObject, position: str) -> None:
    marker = MARKER.issue("scope", position)
    raw = base64.urlsafe_b64decode(marker + "=" * (-len(marker) % 4))
    spelled = base64.urlsafe_b64encode(data.draw(damaged(raw))).rstrip(b"=").decode()
    for other in (spelled, data.draw(damaged(marker.encode())).decode("latin-1")):
        if other != marker:
            with pytest.raises(InvalidMarkerException):
                MARKER.read("scope", other)


# -- as they come over the wire


class Tokens(NamedTuple):
    """A service; two keys of one kind, with a grant and parameters for import each."""

    kms: Direct
    keys: list[str]
    grants: list[dict[str, str]]
    imports: list[dict[str, Any]]

    def __repr__(self) -> str:
        return f"Tokens({self.keys})"

    def held(self) -> list[Any]:
        """What a refused token must leave alone."""
        looked = ("ListGrants", "DescribeKey", "ListKeyRotations")
        return [self.kms(look, KeyId=key).body for key in self.keys for look in looked]

    def retire(self, token: str) -> Told:
        return self.kms("RetireGrant", GrantToken=token)

    def bring(self, key: str, token: bytes, wrapped: bytes) -> Told:
        return self.kms("ImportKeyMaterial", **importing(key, token, wrapped))


def importing(key: str, token: bytes, wrapped: bytes) -> dict[str, Any]:
    return {
        "KeyId": key,
        "ImportToken": token,
        "EncryptedKeyMaterial": wrapped,
        "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE",
    }


def parameters(kms: Direct, key: str) -> dict[str, Any]:
    """An import token, and key material that is wrapped for it."""
    wrapping = {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}
    answer = kms("GetParametersForImport", KeyId=key, **wrapping).body
    public = load_der_public_key(base64.b64decode(answer["PublicKey"]))
    assert isinstance(public, rsa.RSAPublicKey)
    oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
    wrapped = public.encrypt(hashlib.sha256(key.encode()).digest(), oaep)
    return {"token": base64.b64decode(answer["ImportToken"]), "wrapped": wrapped}


@pytest.fixture(scope="module")
def tokens() -> Iterator[Tokens]:
    with development() as kms:
        keys = [kms.key(Origin="EXTERNAL", MultiRegion=True) for _ in range(2)]
        imports = [parameters(kms, key) for key in keys]
        for key, made in zip(keys, imports, strict=True):
            assert kms("ImportKeyMaterial", **importing(key, **made)).code is None
            assert kms("ReplicateKey", KeyId=key, ReplicaRegion="eu-west-1").code is None
        grants = [kms("CreateGrant", KeyId=key, **GRANT).body for key in keys]
        yield Tokens(kms, keys, grants, imports)


def test_a_grant_token_is_for_its_grant(tokens: Tokens) -> None:
    made = [tokens.kms("CreateGrant", KeyId=key, **GRANT).body for key in tokens.keys]
    # Of the other Region's replica, which has the same key ID, it names nothing.
    assert ask(tokens.kms, "eu-west-1", "RetireGrant", GrantToken=made[0]["GrantToken"]).code == "NotFoundException"
    assert tokens.retire(made[0]["GrantToken"]).code is None
    left = [tokens.kms("ListGrants", KeyId=key).body["Grants"] for key in tokens.keys]
    assert made[0]["GrantId"] not in {grant["GrantId"] for grant in left[0]}
    assert made[1]["GrantId"] in {grant["GrantId"] for grant in left[1]}
    told = tokens.retire(made[0]["GrantToken"])
    assert told[:2] == ("NotFoundException", f"Grant ID {made[0]['GrantId']} not found")


@DIFFERENT
@given(data=st.data())
def test_a_damaged_grant_token_is_refused(tokens: Tokens, data: st.DataObject) -> None:
    token = tokens.grants[0]["GrantToken"]
    before = tokens.held()
    others = [
        data.draw(damaged(bytes.fromhex(token))).hex(),
        data.draw(damaged(token.encode())).decode("latin-1"),
        token.upper(),
        f" {token}",
        f"{token}\n",
        f"{token[:8]} {token[8:]}",
    ]
    for other in others:
        if other not in ("", token):
            assert tokens.retire(other)[:2] == ("InvalidGrantTokenException", None), other
    assert tokens.held() == before


@DIFFERENT
@given(data=st.data())
def test_a_damaged_import_token_is_refused(tokens: Tokens, data: st.DataObject) -> None:
    made = tokens.imports[0]
    before = tokens.held()
    other = data.draw(damaged(made["token"]))
    if other not in (b"", made["token"]):
        told = tokens.bring(tokens.keys[0], other, made["wrapped"])
        longest = 6144  # the model's; what is longer does not get as far
        assert told.code == ("InvalidImportTokenException" if len(other) <= longest else "ValidationException")
    assert tokens.held() == before


def test_every_byte_of_an_import_token_counts(tokens: Tokens) -> None:
    made = tokens.imports[0]
    before = tokens.held()
    for place in range(len(made["token"])):
        changed = bytearray(made["token"])
        changed[place] ^= 1
        told = tokens.bring(tokens.keys[0], bytes(changed), made["wrapped"])
        assert told[:2] == ("InvalidImportTokenException", None)
    assert tokens.held() == before


def test_an_import_token_is_for_one_key_in_one_region(tokens: Tokens) -> None:
    own, other = tokens.imports
    assert tokens.bring(tokens.keys[0], **other).code == "InvalidImportTokenException"
    assert tokens.bring(tokens.keys[0], own["token"], other["wrapped"]).code == "InvalidCiphertextException"
    there = ask(tokens.kms, "eu-west-1", "ImportKeyMaterial", **importing(tokens.keys[0], **own))
    assert there.code == "InvalidImportTokenException"
    # With what is right, more than once: nothing of a token is kept, so none is used up.
    for _ in range(2):
        assert tokens.bring(tokens.keys[0], **own).code is None


def test_none_passes_for_another_kind(tokens: Tokens) -> None:
    kms, (key, _) = tokens.kms, tokens.keys
    grant, made = tokens.grants[0]["GrantToken"], tokens.imports[0]
    blob = base64.b64decode(kms("Encrypt", KeyId=key, Plaintext=b"x").body["CiphertextBlob"])
    kms("CreateGrant", KeyId=key, **GRANT)
    marker = kms("ListGrants", KeyId=key, Limit=1).body["NextMarker"]
    for token in (bytes.fromhex(grant), grant.encode(), blob, marker.encode()):
        assert tokens.bring(key, token, made["wrapped"]).code == "InvalidImportTokenException"
    for text in (made["token"].hex(), blob.hex(), marker, base64.b64encode(bytes.fromhex(grant)).decode()):
        assert tokens.retire(text).code == "InvalidGrantTokenException"
    for ciphertext in (made["token"], bytes.fromhex(grant), marker.encode()):
        assert kms("Decrypt", CiphertextBlob=ciphertext).code == "InvalidCiphertextException"
    for text in (grant, made["token"].hex()[:1024]):
        assert kms("ListGrants", KeyId=key, Marker=text).code == "InvalidMarkerException"


def test_another_server_knows_none_of_them(tokens: Tokens) -> None:
    """It has other root keys, even if its keys are of the same name."""
    with development() as other:
        tags = [{"TagKey": "_custom_id_", "TagValue": tokens.keys[0]}]
        key = other.key(Origin="EXTERNAL", Tags=tags)
        assert key == tokens.keys[0]
        told = other("ImportKeyMaterial", **importing(key, **tokens.imports[0]))
        assert told.code == "InvalidImportTokenException"
        assert other("RetireGrant", GrantToken=tokens.grants[0]["GrantToken"]).code == "InvalidGrantTokenException"
        tokens.kms("CreateGrant", KeyId=key, **GRANT)
        marker = tokens.kms("ListGrants", KeyId=key, Limit=1).body["NextMarker"]
        assert other("ListGrants", KeyId=key, Marker=marker).code == "InvalidMarkerException"


def test_an_import_token_is_good_for_a_day(tokens: Tokens) -> None:
    with development() as kms:
        key = kms.key(Origin="EXTERNAL")
        made = parameters(kms, key)
        kms.advance(86_400 - 60)
        assert kms("ImportKeyMaterial", **importing(key, **made)).code is None
        kms.advance(60)
        assert kms("ImportKeyMaterial", **importing(key, **made))[:2] == ("ExpiredImportTokenException", None)
        # A damaged one is damaged, however old.
        told = kms("ImportKeyMaterial", **importing(key, made["token"][:-1], made["wrapped"]))
        assert told.code == "InvalidImportTokenException"
