# SPDX-License-Identifier: Apache-2.0
"""The keyring: a wrapped blob opens for what it was wrapped for, and damage of any kind looks alike."""

import hmac
import pickle
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from stored import ACCOUNT, NOW, REGION, ROOT_KEY, key, keyring, new_material
from stored import authorized as proof

from keyquorum.authn.credentials import Credential
from keyquorum.authz.authorize import AuthorizedKey
from keyquorum.crypto.xaes import XAES256GCM
from keyquorum.custody.root import RootKey
from keyquorum.custody.seal import KeySeal
from keyquorum.errors import IncorrectKeyException, IntegrityError, InvalidCiphertextException
from keyquorum.keyring import Keyring, new_access_key_id, new_secret, new_session_key_id, new_unique_id
from keyquorum.model import GROUP, ROLE, ROOT, USER, AccessKey, Caller, KeyMaterial, KeyRecord, Principal

CALLER = Caller(ACCOUNT, REGION, f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT, ROOT)
CONTEXT = {"tenant": "a", "purpose": "b"}
WRAPPED = dict([Keyring.first_key(ROOT_KEY)])


def new(ring: Keyring, key_id: str, material: bytes | None = None) -> KeyMaterial:
    return new_material(ring, key_id, material)


def wrapped(material: KeyMaterial) -> bytes:
    assert material.wrapped is not None
    return material.wrapped


def authorized(material: KeyMaterial, *more: KeyMaterial, key_id: str | None = None) -> AuthorizedKey:
    record = KeyRecord(key(key_id or material.key_id, material), {m.material_id: m for m in (material, *more)})
    return proof(record)


# -- encrypting for callers


@pytest.mark.parametrize("context", [None, {}, CONTEXT])
@pytest.mark.parametrize("plaintext", [b"plaintext", bytes(4096)])
def test_a_round_trip(plaintext: bytes, context: dict[str, str] | None) -> None:
    ring = keyring()
    one = new(ring, "key-one")
    ciphertext = ring.encrypt(authorized(one), plaintext, context)
    assert ring.decrypt(authorized(one), ciphertext, context) == (plaintext, one.material_id)
    assert plaintext not in ciphertext
    assert ring.encrypt(authorized(one), plaintext, context) != ciphertext


def test_no_context_and_an_empty_one_are_the_same() -> None:
    ring = keyring()
    one = authorized(new(ring, "key-one"))
    assert ring.decrypt(one, ring.encrypt(one, b"x", None), {})[0] == b"x"


@pytest.mark.parametrize(
    "other",
    [
        None,
        {"tenant": "a"},
        {"tenant": "a", "purpose": "B"},
        {"tenant": "b", "purpose": "a"},
        {**CONTEXT, "more": ""},
        {"tenanta": "", "purpose": "b"},
        {"Tenant": "a", "purpose": "b"},
    ],
)
def test_another_context_does_not_decrypt(other: dict[str, str] | None) -> None:
    ring = keyring()
    one = authorized(new(ring, "key-one"))
    with pytest.raises(InvalidCiphertextException) as caught:
        ring.decrypt(one, ring.encrypt(one, b"x", CONTEXT), other)
    assert caught.value.message is None


def test_a_ciphertext_with_any_byte_changed_does_not_decrypt() -> None:
    """A changed key ID, or length of it, is IncorrectKeyException, as for any other key's ciphertext; all else looks
    alike."""
    ring = keyring()
    one = authorized(new(ring, "key-one"))
    ciphertext = ring.encrypt(one, b"plaintext", CONTEXT)
    for position in range(len(ciphertext)):
        for flip in (0x01, 0x80):
            damaged = bytearray(ciphertext)
            damaged[position] ^= flip
            with pytest.raises((InvalidCiphertextException, IncorrectKeyException)) as caught:
                ring.decrypt(one, bytes(damaged), CONTEXT)
            in_the_id = 1 <= position < 2 + len("key-one") and flip == 0x01  # the other bit makes it no key ID
            assert type(caught.value) is (IncorrectKeyException if in_the_id else InvalidCiphertextException), position
            assert in_the_id or caught.value.message is None


def test_a_ciphertext_that_is_cut_or_longer_does_not_decrypt() -> None:
    ring = keyring()
    one = authorized(new(ring, "key-one"))
    ciphertext = ring.encrypt(one, b"plaintext", None)
    for damaged in [ciphertext[:n] for n in range(len(ciphertext))] + [ciphertext + b"\0", b"\0" + ciphertext]:
        with pytest.raises(InvalidCiphertextException):
            ring.decrypt(one, damaged, None)


def test_a_ciphertext_of_another_key_or_material() -> None:
    ring = keyring()
    one, two, later = new(ring, "key-one"), new(ring, "key-two"), new(ring, "key-one")
    ciphertext = ring.encrypt(authorized(one), b"x", None)
    with pytest.raises(IncorrectKeyException):
        ring.decrypt(authorized(two), ciphertext, None)
    with pytest.raises(InvalidCiphertextException):
        ring.decrypt(authorized(later), ciphertext, None)
    assert ring.decrypt(authorized(later, one), ciphertext, None) == (b"x", one.material_id)


def test_two_keys_of_equal_material_do_not_decrypt_each_others_ciphertexts() -> None:
    """Even where the header is made to name the other key: it is authenticated."""
    ring = keyring()
    one, two = new(ring, "key-one", bytes(32)), new(ring, "key-two", bytes(32))
    ciphertext = ring.encrypt(authorized(one), b"x", None)
    forged = ciphertext.replace(b"key-one", b"key-two").replace(
        bytes.fromhex(one.material_id), bytes.fromhex(two.material_id)
    )
    with pytest.raises(InvalidCiphertextException):
        ring.decrypt(authorized(two), forged, None)


# -- key material


def test_the_id_of_a_material_is_that_of_its_key_and_content() -> None:
    ring, another_root = keyring(), RootKey(bytes(32))
    ids = {
        new(ring, key_id, material).material_id
        for key_id, material in [("key-one", bytes(32)), ("key-two", bytes(32)), ("key-one", bytes(31) + b"\1")]
    }
    assert len(ids) == 3
    assert new(keyring(), "key-one", bytes(32)).material_id in ids
    foreign = Keyring(another_root, dict([Keyring.first_key(another_root)]))
    assert new(foreign, "key-one", bytes(32)).material_id not in ids
    assert new(ring, "key-one").material_id != new(ring, "key-one").material_id


def test_a_material_that_is_given_is_used() -> None:
    """Two services with the same root key and the same material read each other's ciphertexts."""
    ciphertext = Keyring(ROOT_KEY, WRAPPED).encrypt(
        authorized(new(Keyring(ROOT_KEY, WRAPPED), "key-one", b"m" * 32)), b"x", None
    )
    ring = keyring()
    assert ring.decrypt(authorized(new(ring, "key-one", b"m" * 32)), ciphertext, None)[0] == b"x"
    assert b"m" * 32 not in wrapped(new(ring, "key-one", b"m" * 32))


def fails_to_open(ring: Keyring, material: KeyMaterial, key_id: str | None = None) -> None:
    with pytest.raises(IntegrityError):
        ring.encrypt(authorized(material, key_id=key_id), b"x", None)


def test_wrapped_materials_that_were_swapped_do_not_open() -> None:
    ring = keyring()
    one, later, two = new(ring, "key-one"), new(ring, "key-one"), new(ring, "key-two")
    replace, whole = msgspec.structs.replace, wrapped(one)
    fails_to_open(ring, replace(one, wrapped=two.wrapped))
    fails_to_open(ring, replace(one, wrapped=later.wrapped))
    fails_to_open(ring, replace(two, key_id="key-one"), key_id="key-one")
    for damaged in (None, b"", whole[:23], whole[:-1], whole + b"\0", bytes(len(whole))):
        fails_to_open(ring, replace(one, wrapped=damaged))


def test_a_secret_access_key_does_not_open_as_key_material_nor_the_reverse() -> None:
    ring = keyring()
    material = new(ring, "key-one")
    access_key = ring.new_access_key("key-one", material.material_id, "s" * 32, NOW)
    fails_to_open(ring, msgspec.structs.replace(material, wrapped=access_key.wrapped_secret))
    with pytest.raises(IntegrityError):
        ring.secret_of(msgspec.structs.replace(access_key, wrapped_secret=material.wrapped))


def test_a_secret_access_key_opens_for_its_access_key_and_principal_alone() -> None:
    ring = keyring()
    alice, bob = (ring.new_access_key(f"AKIA{n}", f"AIDA{n}", f"secret of {n}", NOW) for n in ("ALICE", "BOB"))
    assert (ring.secret_of(alice), ring.secret_of(bob)) == ("secret of ALICE", "secret of BOB")
    for changes in (
        {"principal_id": "AIDABOB"},
        {"access_key_id": "AKIABOB"},
        {"wrapped_secret": bob.wrapped_secret},
        {"keyring_version": 2},
    ):
        with pytest.raises(IntegrityError):
            ring.secret_of(msgspec.structs.replace(alice, **changes))


def test_a_keyring_version_that_is_not_there_or_another_one() -> None:
    two_versions = {1: WRAPPED[1], 2: ROOT_KEY.wrap_keyring_key(2, bytes(32))}
    ring = Keyring(ROOT_KEY, two_versions)
    material = new(ring, "key-one")
    assert material.keyring_version == 2  # the highest wraps what is new
    for version in (0, 1, 3):
        fails_to_open(ring, msgspec.structs.replace(material, keyring_version=version))
    old = new(Keyring(ROOT_KEY, WRAPPED), "key-old")
    assert ring.decrypt(authorized(old), ring.encrypt(authorized(old), b"x", None), None)[0] == b"x"


def test_keyring_keys_that_were_swapped_or_belong_to_another_root() -> None:
    with pytest.raises(IntegrityError):
        Keyring(ROOT_KEY, {2: WRAPPED[1]})
    with pytest.raises(IntegrityError):
        Keyring(RootKey(bytes(32)), WRAPPED)
    with pytest.raises(IntegrityError):
        Keyring(ROOT_KEY, {1: WRAPPED[1][:-1]})


def test_what_is_opened_is_kept_with_its_record_and_goes_with_it() -> None:
    """The next record that is loaded needs its wrapped material again, which is not there once it was destroyed."""
    ring = keyring()
    one = new(ring, "key-one")
    record = KeyRecord(key("key-one", one), {one.material_id: one})
    ring.encrypt(proof(record), b"x", None)
    assert list(record.opened) == [one.material_id]
    destroyed = msgspec.structs.replace(one, wrapped=bytes(72))
    still = msgspec.structs.replace(record, materials={one.material_id: destroyed})
    ring.encrypt(proof(still), b"x", None)  # opened already
    fails_to_open(ring, destroyed)


def test_the_id_of_a_material_is_the_same_in_every_region_and_its_ciphertexts_too() -> None:
    ring, secret = keyring(), bytes(range(32))
    here, there = (new_material(ring, "mrk-one", secret, region) for region in (REGION, "eu-west-1"))
    assert here.material_id == there.material_id
    assert here.wrapped != there.wrapped
    ciphertext = ring.encrypt(authorized(here), b"x", CONTEXT)
    assert ring.decrypt(authorized(there), ciphertext, CONTEXT) == (b"x", here.material_id)


# -- tokens


def test_a_token_opens_for_its_purpose_where_it_was_sealed_and_nowhere_else() -> None:
    ring, another_root = keyring(), RootKey(bytes(32))
    token = ring.seal_token("import token", b"content")
    assert ring.open_token("import token", token) == b"content"
    assert (
        Keyring(ROOT_KEY, WRAPPED).open_token("import token", Keyring(ROOT_KEY, WRAPPED).seal_token("a", b"")) is None
    )
    assert ring.open_token("grant token", token) is None
    assert Keyring(another_root, dict([Keyring.first_key(another_root)])).open_token("import token", token) is None
    assert ring.seal_token("import token", b"content") != token
    assert b"content" not in token


def test_a_token_that_is_damaged_does_not_open() -> None:
    ring = keyring()
    token = ring.seal_token("import token", b"content")
    for position in range(len(token)):
        damaged = bytearray(token)
        damaged[position] ^= 1
        assert ring.open_token("import token", bytes(damaged)) is None
        assert ring.open_token("import token", token[:position]) is None
    assert ring.open_token("import token", token + b"\0") is None


def test_a_token_is_no_secret_of_another_kind() -> None:
    ring = keyring()
    one = new(ring, "key-one")
    assert ring.open_token("import token", bytes([0, 0, 0, 1]) + wrapped(one)) is None
    fails_to_open(ring, msgspec.structs.replace(one, wrapped=ring.seal_token("key material", bytes(32))[4:]))


# -- what is given out, and what is not


def test_access_keys_have_awss_form() -> None:
    assert {len(new_access_key_id()), len(new_session_key_id()), len(new_secret())} == {20, 40}
    assert new_access_key_id().startswith("AKIA")
    assert new_session_key_id().startswith("ASIA")
    assert len({new_secret() for _ in range(100)}) == 100


def test_unique_ids_tell_what_they_are_of() -> None:
    """IAM user guide, "IAM identifiers": the prefixes of unique IDs."""
    made = [new_unique_id(kind) for kind in (USER, ROOT, ROLE, GROUP, "Policy")]
    assert [unique_id[:4] for unique_id in made] == ["AIDA", "AIDA", "AROA", "AGPA", "ANPA"]
    assert {len(unique_id) for unique_id in made} == {21}


SECRET = b"0123456789abcdefghijklmnopqrstuv"


def secretive() -> dict[str, Any]:
    ring = Keyring(RootKey(SECRET), {1: RootKey(SECRET).wrap_keyring_key(1, SECRET)})
    material = new(ring, "key-one", SECRET)
    record = KeyRecord(key("key-one", material), {material.material_id: material})
    used = proof(record)
    ring.encrypt(used, b"x", None)
    access_key = ring.new_access_key("AKIA", "AIDA", SECRET.decode(), NOW)
    principal = Principal("AIDA", ACCOUNT, ROOT, ROOT)
    signing_key = hmac.new(SECRET, digestmod="sha256")
    return {
        "keyring": ring,
        "root key": RootKey(SECRET),
        "seal": KeySeal(SECRET),
        "xaes": XAES256GCM(SECRET),
        "key material": material,
        "authorized key": used,
        "key record": record,
        "access key": access_key,
        "credential": Credential("AKIA", principal, SECRET.decode(), {b"scope": (signing_key, CALLER)}),
    }


@pytest.mark.parametrize("name", secretive())
@pytest.mark.parametrize("show", [repr, str, "{0}".format, lambda x: repr([x]), lambda x: repr({1: x})])
def test_what_holds_a_secret_does_not_show_it(name: str, show: Callable[[object], str]) -> None:
    shown = show(secretive()[name])
    assert not any(form in shown for form in (SECRET.decode(), SECRET.hex(), repr(SECRET)[2:-1]))


@pytest.mark.parametrize("name", secretive())
def test_what_holds_a_secret_does_not_let_it_be_pickled(name: str) -> None:
    """Tracebacks that are collected and work that is handed to processes travel as pickles."""
    try:
        pickled = pickle.dumps(secretive()[name])
    except TypeError:
        return
    assert SECRET not in pickled


def test_what_an_error_says_holds_no_secret() -> None:
    ring = Keyring(RootKey(SECRET), {1: RootKey(SECRET).wrap_keyring_key(1, SECRET)})
    access_key: AccessKey = ring.new_access_key("AKIA", "AIDA", SECRET.decode(), NOW)
    with pytest.raises(IntegrityError) as caught:
        ring.secret_of(msgspec.structs.replace(access_key, principal_id="AIDB"))
    assert SECRET.decode() not in str(caught.value)
