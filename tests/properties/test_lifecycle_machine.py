# SPDX-License-Identifier: Apache-2.0
"""Random lives of keys, on the whole request path, beside a model that is slow and obvious."""

import base64
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from direct import Told, development
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

DAY = 86_400
KEYS = Bundle("keys")
CIPHERTEXTS = Bundle("ciphertexts")
NAMES = st.sampled_from(["alias/a", "alias/b", "alias/b/c"])
TAGS = st.sampled_from(["env", "team", "Env"])
CONTEXTS = st.sampled_from([None, {"a": "b"}, {"a": "b", "c": "d"}])


@dataclass
class ModelKey:
    state: str = "Enabled"
    due: int | None = None
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ciphertext:
    blob: str
    key: str
    plaintext: bytes
    context: dict[str, str] | None


class Lives(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self.kms = self._stack.enter_context(development())
        self.today = 0
        self.keys: dict[str, ModelKey] = {}
        self.aliases: dict[str, str] = {}

    def teardown(self) -> None:
        self._stack.close()

    # -- what the model expects

    def use(self, key_id: str | None) -> str | None:
        """The error of an operation that uses a key's material."""
        if key_id not in self.keys:
            return "NotFoundException"
        state = self.keys[key_id].state
        return {"Disabled": "DisabledException", "PendingDeletion": "KMSInvalidStateException"}.get(state)

    def change(self, key_id: str) -> str | None:
        """The error of an operation that changes a key that is not pending deletion."""
        if key_id not in self.keys:
            return "NotFoundException"
        return "KMSInvalidStateException" if self.keys[key_id].state == "PendingDeletion" else None

    def same(self, told: Told, expected: str | None) -> bool:
        assert told.code == expected, (told.code, told.message, expected)
        return expected is None

    # -- a key's life

    @initialize(target=KEYS)
    def first(self) -> str:
        return str(self.create({}))

    @rule(target=KEYS, tags=st.dictionaries(TAGS, st.text("xyz", max_size=3)))
    def create(self, tags: dict[str, str]) -> str:
        key_id = self.kms.key(Tags=[{"TagKey": k, "TagValue": v} for k, v in tags.items()])
        assert key_id not in self.keys
        self.keys[key_id] = ModelKey(tags=dict(tags))
        return key_id

    @rule(key=KEYS)
    def enable(self, key: str) -> None:
        if self.same(self.kms("EnableKey", KeyId=key), self.change(key)):
            self.keys[key].state = "Enabled"

    @rule(key=KEYS)
    def disable(self, key: str) -> None:
        if self.same(self.kms("DisableKey", KeyId=key), self.change(key)):
            self.keys[key].state = "Disabled"

    @rule(key=KEYS, days=st.integers(7, 30) | st.none())
    def schedule(self, key: str, days: int | None) -> None:
        window = {} if days is None else {"PendingWindowInDays": days}
        told = self.kms("ScheduleKeyDeletion", KeyId=key, **window)
        if self.same(told, self.change(key)):
            assert (told.body["KeyState"], told.body["PendingWindowInDays"]) == ("PendingDeletion", days or 30)
            self.keys[key].state, self.keys[key].due = "PendingDeletion", self.today + (days or 30)

    @rule(key=KEYS)
    def cancel(self, key: str) -> None:
        expected = None if key in self.keys else "NotFoundException"
        if key in self.keys and self.keys[key].state != "PendingDeletion":
            expected = "KMSInvalidStateException"
        if self.same(self.kms("CancelKeyDeletion", KeyId=key), expected):
            self.keys[key].state, self.keys[key].due = "Disabled", None

    @rule(days=st.sampled_from([1, 6, 7, 8, 23, 31]))
    def advance(self, days: int) -> None:
        self.kms.advance(days * DAY)
        self.today += days
        self.keys = {k: v for k, v in self.keys.items() if v.due is None or v.due > self.today}
        self.aliases = {name: k for name, k in self.aliases.items() if k in self.keys}

    # -- its use

    @rule(
        target=CIPHERTEXTS,
        key=KEYS,
        plaintext=st.binary(min_size=1, max_size=20),
        context=CONTEXTS,
        name=NAMES | st.none(),
    )
    def encrypt(self, key: str, plaintext: bytes, context: dict[str, str] | None, name: str | None) -> Any:
        named = key if name is None else name
        key = key if name is None else self.aliases.get(name, "")
        told = self.kms("Encrypt", KeyId=named, Plaintext=plaintext, EncryptionContext=context)
        if self.same(told, self.use(key)):
            return Ciphertext(told.body["CiphertextBlob"], key, plaintext, context)
        return None

    @rule(made=CIPHERTEXTS, context=CONTEXTS, key=KEYS, names_key=st.booleans())
    def decrypt(self, made: Ciphertext | None, context: dict[str, str] | None, key: str, names_key: bool) -> None:
        if made is None:
            return
        named = {"KeyId": key} if names_key else {}
        told = self.kms("Decrypt", CiphertextBlob=made.blob, EncryptionContext=context, **named)
        if names_key and key in self.keys and key != made.key:
            expected: str | None = "IncorrectKeyException"
        else:
            expected = self.use(key if names_key else made.key)
            if expected == "NotFoundException" and not names_key:
                expected = "AccessDeniedException"
            if expected is None and context != made.context:
                expected = "InvalidCiphertextException"
        if self.same(told, expected):
            assert base64.b64decode(told.body["Plaintext"]) == made.plaintext
            assert told.body["KeyId"].endswith(made.key)

    # -- its names

    @rule(name=NAMES, key=KEYS)
    def create_alias(self, name: str, key: str) -> None:
        expected = self.change(key) or ("AlreadyExistsException" if name in self.aliases else None)
        if self.same(self.kms("CreateAlias", AliasName=name, TargetKeyId=key), expected):
            self.aliases[name] = key

    @rule(name=NAMES, key=KEYS)
    def update_alias(self, name: str, key: str) -> None:
        expected = "NotFoundException" if name not in self.aliases else self.change(key)
        if self.same(self.kms("UpdateAlias", AliasName=name, TargetKeyId=key), expected):
            self.aliases[name] = key

    @rule(name=NAMES)
    def delete_alias(self, name: str) -> None:
        expected = None if name in self.aliases else "NotFoundException"
        if self.same(self.kms("DeleteAlias", AliasName=name), expected):
            del self.aliases[name]

    @rule(key=KEYS, tag=TAGS, value=st.text("xyz", max_size=3))
    def tag(self, key: str, tag: str, value: str) -> None:
        told = self.kms("TagResource", KeyId=key, Tags=[{"TagKey": tag, "TagValue": value}])
        if self.same(told, self.change(key)):
            self.keys[key].tags[tag] = value

    @rule(key=KEYS, tag=TAGS)
    def untag(self, key: str, tag: str) -> None:
        if self.same(self.kms("UntagResource", KeyId=key, TagKeys=[tag]), self.change(key)):
            self.keys[key].tags.pop(tag, None)

    # -- what can be seen of all this

    @rule(key=KEYS, name=NAMES | st.none())
    def look(self, key: str, name: str | None) -> None:
        named = key if name is None else name
        key = key if name is None else self.aliases.get(name, "")
        told = self.kms("DescribeKey", KeyId=named)
        if not self.same(told, None if key in self.keys else "NotFoundException"):
            return
        shown, model = told.body["KeyMetadata"], self.keys[key]
        assert (shown["KeyId"], shown["KeyState"]) == (key, model.state)
        assert shown["Enabled"] == (model.state == "Enabled")
        assert ("DeletionDate" in shown) == (model.due is not None)
        tags = self.kms("ListResourceTags", KeyId=key).body["Tags"]
        assert {t["TagKey"]: t["TagValue"] for t in tags} == model.tags
        aliases = self.kms("ListAliases", KeyId=key).body["Aliases"]
        assert {a["AliasName"] for a in aliases} == {n for n, k in self.aliases.items() if k == key}

    @invariant()
    def the_lists_are_those_of_the_model(self) -> None:
        assert {k["KeyId"] for k in self.kms("ListKeys").body["Keys"]} == set(self.keys)
        shown = self.kms("ListAliases").body["Aliases"]
        assert {a["AliasName"]: a["TargetKeyId"] for a in shown} == self.aliases


Lives.TestCase.settings = settings(
    max_examples=120, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


TestLives = pytest.mark.slow(Lives.TestCase)
