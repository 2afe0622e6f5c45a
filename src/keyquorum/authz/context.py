# SPDX-License-Identifier: Apache-2.0
"""The condition keys of a request: a table of where each one comes from. A value is made when a policy asks for it.

What this server cannot know is absent, never guessed: no request comes by way of another service, an organization or a
VPC endpoint. Keys compare without case: two tags, or two pairs of an encryption context, whose keys differ in case
alone are two values of one condition key.

Sources: IAM user guide, "AWS global condition context keys"; KMS developer guide, "AWS KMS condition keys"; service
authorization reference, "Actions, resources, and condition keys for AWS Key Management Service".
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from msgspec import Struct

from keyquorum import api, arns
from keyquorum.authz.compiled import ROLE, WITHOUT_ACCOUNT, Subject
from keyquorum.authz.condition_elements import LONGEST_KEY
from keyquorum.authz.grants import WITH_CONTEXT
from keyquorum.authz.matching import Context, fold
from keyquorum.authz.work import UNBOUNDED, Work
from keyquorum.model import ROOT, SERVICE, USER, Key


class Facts(Struct, frozen=True):
    """What the keys are made from. ``action`` is the permission, ``request`` the operation's struct.

    ``aliases`` are all aliases of ``key``, ``alias`` is the one that the request names it by. ``same_key``: whether
    both keys of a ReEncrypt are one. ``retired`` are the constraints of the grant that RetireGrant is about.
    ``now`` is in seconds since the epoch.
    """

    action: str
    request: Any
    subject: Subject
    region: str
    now: float
    key: Key | None = None
    aliases: tuple[str, ...] = ()
    alias: str | None = None
    same_key: bool = False
    retired: api.GrantConstraints | None = None
    source_ip: str | None = None
    secure: bool = False
    user_agent: str | None = None

    @property
    def operation(self) -> str:
        return _operation(self.action)


@lru_cache(maxsize=1024)
def _operation(action: str) -> str:
    return action.partition(":")[2]


class RequestContext(Context):
    """The condition keys of one request, made from ``facts`` as they are asked for. Not shared between threads."""

    __slots__ = ("_facts", "_families", "_sources")

    def __init__(self, facts: Facts, work: Work = UNBOUNDED) -> None:
        self.work = work
        self._facts = facts
        self._families: dict[str, dict[str, list[str]]] = {}
        self._sources = _sources(facts.action)

    def __missing__(self, key: str) -> tuple[str, ...] | None:
        make = self._sources.get(key)
        if make is None:
            values = self._of_family(key)
        else:
            made = make(self._facts)
            values = (made,) if type(made) is str else _values(made)
        self[key] = values
        return values

    def _of_family(self, key: str) -> tuple[str, ...] | None:
        family = _family_of(key) if len(key) <= LONGEST_KEY else _find_family(key)
        if family is not None:
            found = self._family(family).get(key[len(family) :])
            return None if found is None else tuple(found)
        return next((values for name, values in self._facts.subject.claims if name == key), None)

    def _family(self, prefix: str) -> dict[str, list[str]]:
        """All condition keys of a family, folded, each without the prefix: policies may ask for any number of them."""
        known = self._families.get(prefix)
        if known is None:
            known = self._families[prefix] = {}
            for name, value in _PREFIXES[prefix](self._facts):
                folded = fold(name)
                if folded in known:
                    known[folded].append(value)
                else:
                    known[folded] = [value]
        return known


def _find_family(key: str) -> str | None:
    return next((prefix for prefix in _PREFIXES if key.startswith(prefix)), None)


_family_of = lru_cache(maxsize=4096)(_find_family)
"""For keys of which policies have no longer ones, and few."""


@lru_cache(maxsize=1024)
def _sources(action: str) -> dict[str, Callable[[Facts], Any]]:
    """Where the condition keys that a permission has come from; nothing for those that it does not have."""
    operation = _operation(action)
    return {
        key: make if operations is None or operation in operations else _absent
        for key, (operations, make) in _KEYS.items()
    }


def _absent(_facts: Facts) -> None:
    return None


def _values(made: Any) -> tuple[str, ...] | None:
    if made is None:
        return None
    if isinstance(made, bool):
        return ("true" if made else "false",)
    if isinstance(made, str | int):
        return (str(made),)
    return tuple(made) or None


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else _second(int(seconds // 1))


@lru_cache(maxsize=64)
def _second(second: int) -> str:
    """Most requests are decided in the same second as the one before."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _own_pairs(facts: Facts) -> Mapping[str, str] | None:
    """The encryption context: of the request, of the constraints that it sets, or of the grant that it retires."""
    request, operation = facts.request, facts.operation
    if operation in ("CreateGrant", "RetireGrant"):
        constraints = facts.retired if operation == "RetireGrant" else request.constraints
        if constraints is None:
            return None
        return {**(constraints.encryption_context_subset or {}), **(constraints.encryption_context_equals or {})}
    pairs: Mapping[str, str] | None = getattr(request, _OWN_PAIRS.get(operation, "encryption_context"), None)
    return pairs


_OWN_PAIRS: Final = {
    "ReEncryptFrom": "source_encryption_context",
    "ReEncryptTo": "destination_encryption_context",
}


def encryption_context(facts: Facts) -> Mapping[str, str]:
    """The encryption context that grants and condition keys are compared with."""
    return (_own_pairs(facts) if facts.operation in WITH_CONTEXT else None) or {}


def _constraint_types(facts: Facts) -> list[str]:
    constraints = facts.retired if facts.operation == "RetireGrant" else facts.request.constraints
    if constraints is None:
        return []
    both = (
        ("EncryptionContextEquals", constraints.encryption_context_equals),
        ("EncryptionContextSubset", constraints.encryption_context_subset),
    )
    return [name for name, context in both if context is not None]


def _encryption_algorithm(facts: Facts) -> str:
    attribute = {
        "ReEncryptFrom": "source_encryption_algorithm",
        "ReEncryptTo": "destination_encryption_algorithm",
    }.get(facts.operation, "encryption_algorithm")
    return getattr(facts.request, attribute, None) or "SYMMETRIC_DEFAULT"


def _of_request(attribute: str, default: Any = None) -> Callable[[Facts], Any]:
    def make(facts: Facts) -> Any:
        value = getattr(facts.request, attribute, None)
        return default if value is None else value

    return make


def _principal(attribute: str) -> Callable[[Facts], str | None]:
    """A principal that the request names, by its ARN however it is named."""

    def make(facts: Facts) -> str | None:
        value = getattr(facts.request, attribute, None)
        return None if value is None else arns.principal(value)

    return make


def _of_key(of_key: Callable[[Key], Any], of_creation: Callable[[api.CreateKeyRequest], Any]) -> Callable[[Facts], Any]:
    """A property of the key, or of the key that CreateKey asks for. What else makes a key has to tell it itself."""

    def make(facts: Facts) -> Any:
        if facts.key is not None:
            return of_key(facts.key)
        asked = facts.operation == "CreateKey" and isinstance(facts.request, api.CreateKeyRequest)
        return of_creation(facts.request) if asked else None

    return make


def _request_tags(facts: Facts) -> list[tuple[str, str]]:
    # The service authorization reference gives ReplicateKey, which has tags too, no such condition keys.
    tags = () if facts.action == "kms:ReplicateKey" else getattr(facts.request, "tags", None) or ()
    # KMS has its own names for the members of a tag.
    if tags and isinstance(tags[0], api.Tag):
        return [(tag.tag_key or "", tag.tag_value or "") for tag in tags]
    return [(tag.key or "", tag.value or "") for tag in tags]


def _resource_tags(facts: Facts) -> Iterable[tuple[str, str]]:
    """Of the key, or of the key that CreateKey asks for."""
    if facts.key is not None:
        return facts.key.tags
    return _request_tags(facts) if facts.operation == "CreateKey" else ()


def _tag_keys(facts: Facts) -> list[str]:
    return getattr(facts.request, "tag_keys", None) or [key for key, _ in _request_tags(facts)]


def _caller_account(facts: Facts) -> str | None:
    return None if facts.subject.kind in WITHOUT_ACCOUNT else facts.subject.account


_TYPES: Final = {ROOT: "Account", USER: "User", ROLE: "AssumedRole"}
_spec = _of_key(lambda key: key.spec, lambda r: r.key_spec or r.customer_master_key_spec or "SYMMETRIC_DEFAULT")
_usage = _of_key(lambda key: key.usage, lambda r: r.key_usage or "ENCRYPT_DECRYPT")

_LONGEST_USER_AGENT: Final = 1024
_IN_GRANTS: Final = WITH_CONTEXT | {"CreateGrant", "RetireGrant"}
_BY_ALIAS: Final = WITH_CONTEXT | {
    "Decapsulate",
    "DeriveSharedSecret",
    "DescribeKey",
    "Encapsulate",
    "GenerateMac",
    "GetPublicKey",
    "Sign",
    "Verify",
    "VerifyMac",
}
_WITHOUT_CALLER: Final = frozenset({"GenerateRandom", "ListAliases", "ListKeys", "ListRetirableGrants"})


def _only(*operations: str) -> frozenset[str]:
    return frozenset(operations)


_Source = tuple[frozenset[str] | None, Callable[[Facts], Any]]
_Pairs = Callable[[Facts], Iterable[tuple[str, str]]]

_KEYS: Final[dict[str, _Source]] = {
    "aws:currenttime": (None, lambda f: _time(f.now)),
    "aws:epochtime": (None, lambda f: int(f.now)),
    "aws:federatedprovider": (None, lambda f: f.subject.federated),
    "aws:multifactorauthage": (None, lambda f: None if f.subject.mfa_at is None else int(f.now - f.subject.mfa_at)),
    # Present for temporary credentials alone: with a user's own key nothing is known of a second factor.
    "aws:multifactorauthpresent": (
        None,
        lambda f: None if f.subject.issued_at is None else f.subject.mfa_at is not None,
    ),
    "aws:principalaccount": (None, _caller_account),
    # Of a session it is the role's.
    "aws:principalarn": (
        None,
        lambda f: None if f.subject.kind in WITHOUT_ACCOUNT else f.subject.role_arn or f.subject.arn,
    ),
    "aws:principalisawsservice": (None, lambda f: f.subject.kind == SERVICE),
    "aws:principalservicenameslist": (None, lambda f: sorted(f.subject.services)),
    "aws:principaltype": (None, lambda f: _TYPES.get(f.subject.kind)),
    "aws:requestedregion": (None, lambda f: f.region),
    "aws:resourceaccount": (None, lambda f: f.key.account if f.key is not None else None),
    "aws:securetransport": (None, lambda f: f.secure),
    "aws:sourceidentity": (None, lambda f: f.subject.source_identity),
    "aws:sourceip": (None, lambda f: f.source_ip),
    "aws:tagkeys": (None, _tag_keys),
    "aws:tokenissuetime": (None, lambda f: _time(f.subject.issued_at)),
    # It proves nothing, and is the one value that every caller can make long.
    "aws:useragent": (None, lambda f: None if f.user_agent is None else f.user_agent[:_LONGEST_USER_AGENT]),
    "aws:userid": (None, lambda f: f.subject.principal_id or None),
    "aws:username": (None, lambda f: f.subject.arn.rpartition("/")[2] if f.subject.kind == USER else None),
    "aws:viaawsservice": (None, lambda _f: False),
    # Absent, not "false", where the request does not have it: the guide's own example tests for Null.
    "kms:bypasspolicylockoutsafetycheck": (
        _only("CreateKey", "PutKeyPolicy"),
        _of_request("bypass_policy_lockout_safety_check"),
    ),
    "kms:calleraccount": (None, lambda f: None if f.operation in _WITHOUT_CALLER else _caller_account(f)),
    "kms:customermasterkeyspec": (None, _spec),
    "kms:customermasterkeyusage": (None, _usage),
    "kms:datakeypairspec": (
        _only("GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext"),
        _of_request("key_pair_spec"),
    ),
    "kms:encryptionalgorithm": (WITH_CONTEXT, _encryption_algorithm),
    "kms:encryptioncontextkeys": (_IN_GRANTS, lambda f: _own_pairs(f) or ()),
    "kms:expirationmodel": (_only("ImportKeyMaterial"), _of_request("expiration_model", "KEY_MATERIAL_EXPIRES")),
    "kms:grantconstrainttype": (_only("CreateGrant", "RetireGrant"), _constraint_types),
    "kms:grantisforawsresource": (_only("CreateGrant", "ListGrants", "RevokeGrant"), lambda _f: False),
    "kms:grantoperations": (_only("CreateGrant"), lambda f: f.request.operations or ()),
    "kms:granteeprincipal": (_only("CreateGrant"), _principal("grantee_principal")),
    "kms:keyagreementalgorithm": (_only("DeriveSharedSecret"), _of_request("key_agreement_algorithm")),
    "kms:keyorigin": (None, _of_key(lambda key: key.origin, lambda r: r.origin or "AWS_KMS")),
    "kms:keyspec": (None, _spec),
    "kms:keyusage": (None, _usage),
    "kms:macalgorithm": (_only("GenerateMac", "VerifyMac"), _of_request("mac_algorithm")),
    "kms:messagetype": (_only("Sign", "Verify"), _of_request("message_type", "RAW")),
    "kms:multiregion": (None, _of_key(lambda key: key.primary_region is not None, lambda r: bool(r.multi_region))),
    "kms:multiregionkeytype": (
        None,
        _of_key(
            lambda key: None if key.primary_region is None else "PRIMARY" if key.is_primary else "REPLICA",
            lambda r: "PRIMARY" if r.multi_region else None,
        ),
    ),
    "kms:policyname": (_only("GetKeyPolicy", "PutKeyPolicy"), _of_request("policy_name", "default")),
    "kms:primaryregion": (_only("UpdatePrimaryRegion"), _of_request("primary_region")),
    "kms:reencryptonsamekey": (_only("ReEncryptFrom", "ReEncryptTo"), lambda f: f.same_key),
    "kms:replicaregion": (_only("ReplicateKey"), _of_request("replica_region")),
    "kms:requestalias": (_BY_ALIAS, lambda f: f.alias),
    "kms:resourcealiases": (None, lambda f: f.aliases),
    "kms:retiringprincipal": (_only("CreateGrant"), _principal("retiring_principal")),
    "kms:rotationperiodindays": (_only("EnableKeyRotation"), _of_request("rotation_period_in_days", 365)),
    "kms:schedulekeydeletionpendingwindowindays": (
        _only("ScheduleKeyDeletion"),
        _of_request("pending_window_in_days", 30),
    ),
    "kms:signingalgorithm": (_only("Sign", "Verify"), _of_request("signing_algorithm")),
    "kms:validto": (_only("ImportKeyMaterial"), lambda f: _time(f.request.valid_to)),
    "kms:wrappingalgorithm": (_only("GetParametersForImport"), _of_request("wrapping_algorithm")),
    "kms:wrappingkeyspec": (_only("GetParametersForImport"), _of_request("wrapping_key_spec")),
}
"""Each condition key, the operations that have it or None for all, and its value."""

_PREFIXES: Final[dict[str, _Pairs]] = {
    "aws:principaltag/": lambda f: f.subject.tags,
    "aws:requesttag/": _request_tags,
    "aws:resourcetag/": _resource_tags,
    "kms:encryptioncontext:": lambda f: (_own_pairs(f) or {}).items() if f.operation in _IN_GRANTS else (),
}
"""The families of condition keys: their prefix, and the pairs whose keys follow it."""
