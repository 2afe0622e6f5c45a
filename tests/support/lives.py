# SPDX-License-Identifier: Apache-2.0
"""Random lives of keys on the whole request path, beside the model of ``lives_model``: each answer must be the model's,
and so must all that can be seen in the end."""

import base64
import hashlib
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_public_key
from direct import ACCOUNT, Direct
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from lives_model import (
    DAY,
    ENABLED,
    EXISTS,
    KINDS,
    NOT_FOUND,
    REGIONS,
    UNSUPPORTED,
    Family,
    Material,
    Place,
    World,
    changing,
    using,
)
from lives_sight import SLACK, Sight

from keyquorum.model import key_name
from keyquorum.ops.material import _Token

ROOT = f"arn:aws:iam::{ACCOUNT}:root"
GONE = Place("")

ANY = st.integers(0, 63)
REGION = st.sampled_from(REGIONS)
KIND = st.sampled_from([*KINDS, "external", "multi", "multi external", "multi external"])
NAMES = st.sampled_from(["alias/a", "alias/b", "alias/b/c"])
SECRETS = st.sampled_from([0, 0, 1, 1, 2])
IMPORT_TYPES = st.sampled_from([None, "NEW_KEY_MATERIAL", "NEW_KEY_MATERIAL", "EXISTING_KEY_MATERIAL"])
# No two sums of these that can belong to one key are equal: two things never come due at once.
WINDOWS = st.sampled_from([7, 30])
PERIODS = st.sampled_from([90, 90, 365, None])
EXPIRIES = st.sampled_from([None, None, None, 5, 100])
JUMPS = st.sampled_from([1, 6, 8, 31, 95, 366])


class Made(NamedTuple):
    """A ciphertext."""

    blob: str
    family: Family
    material: Material
    plaintext: bytes


class Token(NamedTuple):
    """A grant token."""

    text: str
    family: Family
    region: str
    grant_id: str


@cache
def wrapping_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def wrapped(public: rsa.RSAPublicKey, secret: int) -> bytes:
    """Key material number ``secret``."""
    oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
    return public.encrypt(hashlib.sha256(bytes([secret])).digest(), oaep)


def elsewhere(region: str) -> str:
    return next(name for name in REGIONS if name != region)


class Lives(Sight, RuleBasedStateMachine):
    service: Direct
    """Shared by all runs; each begins with it empty."""

    def __init__(self) -> None:
        super().__init__()
        self.kms = self.service
        self.kms.service.reset()
        self.world = World()
        self.made: list[Made] = []
        self.tokens: list[Token] = []

    def at(self, n: int, apt: Callable[[Family, str], bool] = lambda family, region: True) -> tuple[Family, str]:
        """A key in one of its Regions, mostly one that is ``apt``, if there is one; now and then in a Region where it
        is not, or not any more."""
        everywhere = [(family, region) for family in self.world.families for region in REGIONS]
        present = [(family, region) for family, region in everywhere if region in family.places]
        absent = [place for place in everywhere if place not in present]
        if absent and (n % 16 == 15 or not present):
            return absent[n % len(absent)]
        chosen = [place for place in present if apt(*place)] if n % 4 else present
        return (chosen or present)[n % len(chosen or present)]

    # -- a key's life

    @initialize(kinds=st.lists(KIND, min_size=1, max_size=3), everywhere=st.booleans())
    def begin(self, kinds: list[str], everywhere: bool) -> None:
        """Keys that are ready for use; ``everywhere``: multi-Region keys in all Regions."""
        for kind in kinds:
            self.create(kind, REGIONS[0], True)
            family = self.world.families[-1]
            if everywhere and family.multi:
                expect = partial(family.replicate, REGIONS[0], REGIONS[1])
                self.change("ReplicateKey", family, REGIONS[0], expect, ReplicaRegion=REGIONS[1])
                if family.external:
                    self.import_ready(family, REGIONS[1], 0, None, None)

    @precondition(lambda self: len(self.world.families) < 5)
    @rule(kind=KIND, region=REGION, ready=st.booleans())
    def create(self, kind: str, region: str, ready: bool) -> None:
        """``ready``: with its key material, if that is imported."""
        told = self.tell(region, "CreateKey", **KINDS[kind])
        assert told.code is None, told
        key_id = told.body["KeyMetadata"]["KeyId"]
        assert key_id.startswith("mrk-") == ("multi" in kind)
        assert key_id not in {family.key_id for family in self.world.families}
        family = self.world.create(key_id, kind, region)
        if ready and family.external:
            self.import_ready(family, region, 0, None, None)

    @rule(n=ANY, on=st.booleans())
    def switch(self, n: int, on: bool) -> None:
        family, region = self.at(n)
        if not on:
            self.change("DisableKey", family, region, lambda: family.disable(region))
        elif self.change("EnableKey", family, region, lambda: family.enable(region)):
            # What was overdue is done within the second.
            self.kms.service.run_jobs()
            self.world.rotate_overdue(family)

    @rule(n=ANY, days=WINDOWS)
    def schedule(self, n: int, days: int) -> None:
        family, region = self.at(n, lambda family, region: region != family.primary)
        now = self.world.now

        def expect() -> str | None:
            return family.schedule(region, days, now)

        if told := self.change("ScheduleKeyDeletion", family, region, expect, PendingWindowInDays=days):
            place = family.places[region]
            assert (told.body["KeyState"], told.body["PendingWindowInDays"]) == (place.state, days)
            assert ("DeletionDate" in told.body) == (place.due is not None)

    @rule(n=ANY)
    def cancel(self, n: int) -> None:
        family, region = self.at(n, lambda family, region: changing(family.places[region].state) is not None)
        self.change("CancelKeyDeletion", family, region, lambda: family.cancel(region))

    @rule(days=JUMPS)
    def advance(self, days: int) -> None:
        self.kms.service.advance(days * DAY + SLACK)
        self.world.advance(days * DAY + SLACK)

    # -- its material

    @rule(n=ANY, secret=SECRETS, import_type=IMPORT_TYPES, days=EXPIRIES)
    def bring(self, n: int, secret: int, import_type: str | None, days: int | None) -> None:
        family, region = self.at(n, lambda family, region: family.external)
        self.import_ready(family, region, secret, import_type, days)

    def import_ready(self, family: Family, region: str, secret: int, import_type: str | None, days: int | None) -> None:
        """With a token like those of GetParametersForImport, but one wrapping key for all."""
        private = wrapping_key().private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        end = self.kms.service.clock.now() + DAY
        token = msgspec.msgpack.encode(_Token(key_name(family.key_id, region), "RSAES_OAEP_SHA_256", private, end))
        sealed = self.kms.service.keyring.seal_token("import token", token)
        self.import_material(family, region, sealed, wrapping_key().public_key(), secret, import_type, days)

    @rule(n=ANY, secret=SECRETS, really=st.integers(0, 5))
    def parameters(self, n: int, secret: int, really: int) -> None:
        family, region = self.at(n, lambda family, region: family.external)
        if really and region in family.places and family.external and not changing(family.places[region].state):
            return  # Generating a wrapping key takes as long as fifty other requests.

        def expect() -> str | None:
            return changing(family.places[region].state) if family.external else UNSUPPORTED

        wrapping = {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}
        if told := self.change("GetParametersForImport", family, region, expect, **wrapping):
            public = load_der_public_key(base64.b64decode(told.body["PublicKey"]))
            assert isinstance(public, rsa.RSAPublicKey)
            token = base64.b64decode(told.body["ImportToken"])
            self.import_material(family, region, token, public, secret, None, None)

    def import_material(
        self,
        family: Family,
        region: str,
        token: bytes,
        public: rsa.RSAPublicKey,
        secret: int,
        import_type: str | None,
        days: int | None,
    ) -> None:
        members: dict[str, Any] = {"ImportToken": token, "EncryptedKeyMaterial": wrapped(public, secret)}
        if import_type is not None:
            members["ImportType"] = import_type
        expires = None
        if days is None:
            members["ExpirationModel"] = "KEY_MATERIAL_DOES_NOT_EXPIRE"
        else:
            members["ValidTo"] = self.kms.service.clock.now() + days * DAY
            expires = self.world.now + days * DAY

        def expect() -> str | None:
            return family.bring(region, secret, import_type, expires)

        if told := self.change("ImportKeyMaterial", family, region, expect, **members):
            assert ("KeyMaterialId" in told.body) == family.symmetric
            material = next(material for material in family.materials if material.secret == secret)
            self.identify(family, material, told.body.get("KeyMaterialId"))

    @rule(n=ANY, which=ANY)
    def take(self, n: int, which: int) -> None:
        family, region = self.at(n, lambda family, region: family.external)
        listed = family.materials if region in family.places and family.symmetric else []
        choice = [None, *(material for material in listed if material.id is not None)]
        material = choice[which % len(choice)]
        named = {} if material is None else {"KeyMaterialId": material.id}
        self.change("DeleteImportedKeyMaterial", family, region, lambda: family.take(region, material), **named)

    # -- its rotation

    @rule(n=ANY, period=PERIODS)
    def turn(self, n: int, period: int | None) -> None:
        family, region = self.at(n, lambda family, region: family.symmetric and not family.external)
        now = self.world.now
        operation = "DisableKeyRotation" if period is None else "EnableKeyRotation"
        members = {} if period is None else {"RotationPeriodInDays": period}
        self.change(operation, family, region, lambda: family.turn(region, period, now), **members)

    @rule(n=ANY)
    def rotate_on_demand(self, n: int) -> None:
        family, region = self.at(n, lambda family, region: family.symmetric and region == family.primary)
        self.change("RotateKeyOnDemand", family, region, lambda: family.rotate_on_demand(region))

    # -- its Regions

    @rule(n=ANY, other=ANY)
    def replicate(self, n: int, other: int) -> None:
        family, region = self.at(n, lambda family, region: family.multi and region == family.primary)
        to = elsewhere(region) if other else region
        self.change("ReplicateKey", family, region, lambda: family.replicate(region, to), ReplicaRegion=to)

    @rule(n=ANY, other=ANY)
    def update_primary(self, n: int, other: int) -> None:
        family, region = self.at(n, lambda family, region: region == family.primary and len(family.places) > 1)
        to = elsewhere(region) if other else region

        def expect() -> str | None:
            return family.update_primary(region, to)

        self.change("UpdatePrimaryRegion", family, region, expect, PrimaryRegion=to)

    # -- its names and what is said of it

    @rule(name=NAMES, n=ANY)
    def create_alias(self, name: str, n: int) -> None:
        family, region = self.at(n)
        expected = changing(family.places[region].state) if region in family.places else NOT_FOUND
        expected = expected or (EXISTS if (region, name) in self.world.aliases else None)
        if self.same(self.tell(region, "CreateAlias", AliasName=name, TargetKeyId=family.key_id), expected):
            self.world.aliases[region, name] = family

    @rule(name=NAMES, n=ANY)
    def update_alias(self, name: str, n: int) -> None:
        family, region = self.at(n)
        present, expected = self.world.aliases.get((region, name)), None
        if present is None or region not in family.places:
            expected = NOT_FOUND
        elif (expected := changing(family.places[region].state)) is None and present.usage != family.usage:
            expected = "ValidationException"
        if self.same(self.tell(region, "UpdateAlias", AliasName=name, TargetKeyId=family.key_id), expected):
            self.world.aliases[region, name] = family

    @rule(name=NAMES, region=REGION)
    def delete_alias(self, name: str, region: str) -> None:
        expected = None if (region, name) in self.world.aliases else NOT_FOUND
        if self.same(self.tell(region, "DeleteAlias", AliasName=name), expected):
            del self.world.aliases[region, name]

    @rule(n=ANY, tag=st.sampled_from(["env", "team", "Env"]), value=st.sampled_from(["x", "y", None]))
    def tag(self, n: int, tag: str, value: str | None) -> None:
        family, region = self.at(n)
        place = family.places.get(region, GONE)
        if value is None:
            if self.change("UntagResource", family, region, lambda: changing(place.state), TagKeys=[tag]):
                place.tags.pop(tag, None)
            return
        tags = [{"TagKey": tag, "TagValue": value}]
        if self.change("TagResource", family, region, lambda: changing(place.state), Tags=tags):
            place.tags[tag] = value

    @rule(n=ANY, text=st.sampled_from(["", "one", "two"]), policy=st.booleans())
    def word(self, n: int, text: str, policy: bool) -> None:
        family, region = self.at(n)
        place = family.places.get(region, GONE)
        if not policy:
            if self.change("UpdateKeyDescription", family, region, lambda: changing(place.state), Description=text):
                place.description = text
            return
        document = (
            f'{{"Version": "2012-10-17", "Statement": [{{"Sid": "{text}", "Effect": "Allow", '
            f'"Principal": {{"AWS": "{ROOT}"}}, "Action": "kms:*", "Resource": "*"}}]}}'
        )
        if self.change("PutKeyPolicy", family, region, lambda: None, Policy=document):
            place.policy = document

    @rule(n=ANY, name=st.sampled_from([None, "one", "two"]))
    def grant(self, n: int, name: str | None) -> None:
        family, region = self.at(n)
        place = family.places.get(region, GONE)
        members: dict[str, Any] = {"GranteePrincipal": ROOT, "Operations": ["DescribeKey"]}
        if name is not None:
            members["Name"] = name
        if told := self.change("CreateGrant", family, region, lambda: using(place.state), **members):
            grant_id = told.body["GrantId"]
            same = [known for known, other in place.grants.items() if name is not None and other == name]
            assert [grant_id] == same if same else grant_id not in place.grants
            place.grants[grant_id] = name
            self.tokens.append(Token(told.body["GrantToken"], family, region, grant_id))

    @rule(n=ANY, which=ANY, retire=st.booleans())
    def give_up(self, n: int, which: int, retire: bool) -> None:
        family, region = self.at(n)
        grants = family.places.get(region, GONE).grants
        known = [*grants, "0" * 64]
        grant_id = known[which % len(known)]

        def expect() -> str | None:
            return None if grant_id in grants else NOT_FOUND

        if self.change("RetireGrant" if retire else "RevokeGrant", family, region, expect, GrantId=grant_id):
            del grants[grant_id]

    @precondition(lambda self: self.tokens)
    @rule(which=ANY, home=st.integers(0, 3))
    def hand_in(self, which: int, home: int) -> None:
        """RetireGrant by token, which is good in its own Region, once."""
        token = self.tokens[which % len(self.tokens)]
        region = token.region if home else elsewhere(token.region)
        grants = token.family.places.get(region, GONE).grants
        expected = None if token.grant_id in grants else NOT_FOUND
        if self.same(self.tell(region, "RetireGrant", GrantToken=token.text), expected):
            del grants[token.grant_id]

    # -- its use

    def used(self, operation: str, usage: str, family: Family, region: str) -> Callable[[], str | None]:
        """What to expect of a use; it is taken for done if that is a success."""

        def expect() -> str | None:
            place = family.places[region]
            error = using(place.state) if family.usage == usage else "InvalidKeyUsageException"
            if error is None:
                place.used = operation
            return error

        return expect

    @rule(n=ANY, plaintext=st.binary(min_size=1, max_size=3))
    def encrypt(self, n: int, plaintext: bytes) -> None:
        family, region = self.at(n, lambda family, region: family.symmetric)
        expect = self.used("Encrypt", "ENCRYPT_DECRYPT", family, region)
        if told := self.change("Encrypt", family, region, expect, Plaintext=plaintext):
            self.made.append(Made(told.body["CiphertextBlob"], family, family.current, plaintext))

    @rule(n=ANY)
    def generate(self, n: int) -> None:
        family, region = self.at(n, lambda family, region: family.symmetric)
        expect = self.used("GenerateDataKey", "ENCRYPT_DECRYPT", family, region)
        if told := self.change("GenerateDataKey", family, region, expect, NumberOfBytes=7):
            self.identify(family, family.current, told.body["KeyMaterialId"])
            plaintext = base64.b64decode(told.body["Plaintext"])
            self.made.append(Made(told.body["CiphertextBlob"], family, family.current, plaintext))

    @precondition(lambda self: self.made)
    @rule(which=ANY, n=ANY, named=st.booleans())
    def decrypt(self, which: int, n: int, named: bool) -> None:
        made = self.made[which % len(self.made)]
        family, region = self.at(n)
        place = (family if named else made.family).places.get(region)
        if place is None:
            expected: str | None = NOT_FOUND if named else "AccessDeniedException"
        else:
            expected = "IncorrectKeyException" if named and family is not made.family else using(place.state)
        key = {"KeyId": family.key_id} if named else {}
        told = self.tell(region, "Decrypt", CiphertextBlob=made.blob, **key)
        if self.same(told, expected):
            assert base64.b64decode(told.body["Plaintext"]) == made.plaintext
            assert told.body["KeyId"].endswith(made.family.key_id)
            self.identify(made.family, made.material, told.body["KeyMaterialId"])
            made.family.places[region].used = "Decrypt"

    @precondition(lambda self: self.made)
    @rule(which=ANY, n=ANY)
    def re_encrypt(self, which: int, n: int) -> None:
        made = self.made[which % len(self.made)]
        family, region = self.at(n)
        source = made.family.places.get(region)
        expected: str | None = "AccessDeniedException"
        if source is not None and region not in family.places:
            expected = NOT_FOUND
        elif source is not None:
            expected = using(source.state) or self.used("ReEncrypt", "ENCRYPT_DECRYPT", family, region)()
        told = self.tell(region, "ReEncrypt", CiphertextBlob=made.blob, DestinationKeyId=family.key_id)
        if self.same(told, expected):
            made.family.places[region].used = "ReEncrypt"
            self.identify(made.family, made.material, told.body["SourceKeyMaterialId"])
            self.identify(family, family.current, told.body["DestinationKeyMaterialId"])
            self.made.append(Made(told.body["CiphertextBlob"], family, family.current, made.plaintext))

    @rule(n=ANY)
    def authenticate(self, n: int) -> None:
        """Signatures verify; the MAC of a message is the same in every Region where the key is."""
        family, region = self.at(n, lambda family, region: not family.symmetric)
        members: dict[str, Any] = {"Message": b"m", "SigningAlgorithm": "ECDSA_SHA_256"}
        expect = self.used("Sign", "SIGN_VERIFY", family, region)
        if told := self.change("Sign", family, region, expect, **members):
            expect = self.used("Verify", "SIGN_VERIFY", family, region)
            assert self.change("Verify", family, region, expect, **members, Signature=told.body["Signature"])
        members = {"Message": b"m", "MacAlgorithm": "HMAC_SHA_256"}
        expect = self.used("GenerateMac", "GENERATE_VERIFY_MAC", family, region)
        if told := self.change("GenerateMac", family, region, expect, **members):
            for other, place in family.places.items():
                if place.state == ENABLED:
                    expect = self.used("VerifyMac", "GENERATE_VERIFY_MAC", family, other)
                    assert self.change("VerifyMac", family, other, expect, **members, Mac=told.body["Mac"])

    # -- what can be seen of all this

    @rule(n=ANY)
    def look(self, n: int) -> None:
        self.look_at(self.at(n)[0])

    def teardown(self) -> None:
        for family in self.world.families:
            self.look_at(family)
        self.look_at_lists()
