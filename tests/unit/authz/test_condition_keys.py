# SPDX-License-Identifier: Apache-2.0
"""The condition keys that a request has are those of its action in AWS's service authorization reference."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from asked import Asked
from botocore.loaders import Loader
from decisions import subject_of
from policies import ACCOUNT, ALICE, ROLE

from keyquorum import api
from keyquorum.authz.context import Facts, RequestContext
from keyquorum.model import Key

FACTS = Path(os.environ.get("KEYQUORUM_FACTS", Path(__file__).parents[4] / "shared" / "facts")) / "condition_keys.json"

KEY = Key(
    key_id="1234abcd-12ab-34cd-56ef-1234567890ab",
    account=ACCOUNT,
    region="eu-west-1",
    spec="SYMMETRIC_DEFAULT",
    usage="ENCRYPT_DECRYPT",
    origin="AWS_KMS",
    state="Enabled",
    description="",
    created_at=0.0,
    material_id="m",
    primary_region="eu-west-1",
    tags=(("Stage", "test"),),
)
CONSTRAINTS = api.GrantConstraints(encryption_context_equals={"App": "pay"})

#: A value for each member of a request that a condition key can come from.
MEMBERS: dict[str, Any] = {
    "bypass_policy_lockout_safety_check": True,
    "constraints": CONSTRAINTS,
    "destination_encryption_context": {"App": "pay"},
    "encryption_context": {"App": "pay"},
    "expiration_model": "KEY_MATERIAL_EXPIRES",
    "grantee_principal": ALICE,
    "key_agreement_algorithm": "ECDH",
    "key_pair_spec": "RSA_2048",
    "mac_algorithm": "HMAC_SHA_256",
    "multi_region": True,
    "operations": ["Encrypt"],
    "primary_region": "eu-west-3",
    "replica_region": "eu-west-3",
    "retiring_principal": ROLE,
    "signing_algorithm": "ECDSA_SHA_256",
    "source_encryption_context": {"App": "pay"},
    "tag_keys": ["Stage"],
    "tags": [api.Tag(tag_key="Stage", tag_value="test")],
    "valid_to": 1_772_366_400.0,
    "wrapping_algorithm": "RSAES_OAEP_SHA_256",
    "wrapping_key_spec": "RSA_4096",
}

#: What this server cannot know: no request comes by way of a service, no enclave attests, and key stores are not there.
UNKNOWN = {"kms:ViaService"}
NOT_HERE = ("CustomKeyStore", "SynchronizeMultiRegionKey")

#: The operations that are newer than the reference, and those like them.
NEWER = {"Encapsulate": "GetPublicKey", "Decapsulate": "GetPublicKey", "GetKeyLastUsage": "GetKeyRotationStatus"}


def reference() -> dict[str, Any]:
    if FACTS.is_file():
        found: dict[str, Any] = json.loads(FACTS.read_text())
        return found
    if os.environ.get("CI"):
        pytest.fail(f"no facts about condition keys at {FACTS}: set KEYQUORUM_FACTS")
    pytest.skip(f"no facts about condition keys at {FACTS}: set KEYQUORUM_FACTS")


def spelled(key: str) -> str:
    """A condition key of a family, by one name of it."""
    return key.replace("${TagKey}", "Stage").replace("${EncryptionContextKey}", "App").lower()


def context(action: str, *, of_key: bool) -> RequestContext:
    request_type = getattr(
        api, f"{action.removesuffix('From').removesuffix('To') if 'ReEncrypt' in action else action}Request"
    )
    members = {name: value for name, value in MEMBERS.items() if name in request_type.__struct_fields__}
    facts = Facts(
        action=f"kms:{action}",
        request=request_type(**members),
        subject=subject_of(Asked()),
        region="eu-west-1",
        now=1_772_366_400.0,
        key=KEY if of_key else None,
        aliases=("alias/app",) if of_key else (),
        alias="alias/app" if of_key else None,
        retired=CONSTRAINTS if action == "RetireGrant" else None,
    )
    return RequestContext(facts)


def test_each_action_has_its_condition_keys_and_no_others() -> None:
    told = reference()
    actions = {name: row for name, row in told["actions"].items() if not any(part in name for part in NOT_HERE)}
    actions |= {new: told["actions"][like] for new, like in NEWER.items()}
    operations = {
        name for name in Loader().load_service_model("kms", "service-2")["operations"] if NOT_HERE[0] not in name
    }
    assert actions.keys() == operations - {"ReEncrypt"} | {"ReEncryptFrom", "ReEncryptTo"}
    wrong = []
    for action, row in actions.items():
        of_key = "key" in row["resources"]
        expected = {*row["keys"], *(told["resource_condition_keys"]["key"] if of_key else ())} - UNKNOWN
        found = context(action, of_key=of_key)
        for key in told["types"]:
            # Deprecated: they are the keys that took their place.
            name = key.replace("CustomerMasterKeySpec", "KeySpec").replace("CustomerMasterKeyUsage", "KeyUsage")
            if (found[spelled(key)] is not None) is not (name in expected):
                wrong.append((action, key, found[spelled(key)]))
    assert wrong == []


def test_values_are_of_the_type_that_the_reference_says() -> None:
    told = reference()
    for action in told["actions"]:
        if any(part in action for part in NOT_HERE):
            continue
        found = context(action, of_key="key" in told["actions"][action]["resources"])
        for key, kind in told["types"].items():
            values = found[spelled(key)]
            if values is None:
                continue
            assert len(values) == 1 or kind.startswith("ArrayOf")
            if kind == "Bool":
                assert values[0] in ("true", "false")
            elif kind == "Numeric":
                assert values[0].isdecimal()
            elif kind == "Date":
                assert values[0].endswith("Z")


def test_a_bare_request_has_what_the_reference_gives_it_by_default() -> None:
    """KMS developer guide, "AWS KMS condition keys": they work "even when the parameter doesn't appear"."""
    subject = subject_of(Asked())
    for action, request, key, value in (
        ("Encrypt", api.EncryptRequest(), "kms:encryptionalgorithm", "SYMMETRIC_DEFAULT"),
        ("Sign", api.SignRequest(), "kms:messagetype", "RAW"),
        ("EnableKeyRotation", api.EnableKeyRotationRequest(), "kms:rotationperiodindays", "365"),
        ("ImportKeyMaterial", api.ImportKeyMaterialRequest(), "kms:expirationmodel", "KEY_MATERIAL_EXPIRES"),
        ("CreateKey", api.CreateKeyRequest(), "kms:keyspec", "SYMMETRIC_DEFAULT"),
    ):
        facts = Facts(f"kms:{action}", request, subject, "eu-west-1", 0.0)
        assert RequestContext(facts)[key] == (value,)
    assert (
        RequestContext(Facts("kms:ImportKeyMaterial", api.ImportKeyMaterialRequest(), subject, "r", 0.0))["kms:validto"]
        is None
    )
