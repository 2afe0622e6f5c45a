# SPDX-License-Identifier: Apache-2.0
"""SigV4A, as boto3 signs it with awscrt: one signature for a set of Regions, of which the request says one."""

import importlib.util
import os
from collections.abc import Callable
from typing import Any

import pytest
from botocore.config import Config
from roles import ALICE, allow, assumed, new_role, trusting, user, using
from servers import ACCOUNT, Access, Production, client, code_of, refused

pytestmark = pytest.mark.slow

if importlib.util.find_spec("awscrt") is None and "CI" not in os.environ:
    pytest.skip("botocore signs SigV4A only with awscrt", allow_module_level=True)


def asymmetric(regions: str | None = None) -> Config:
    """Signing for the Regions of the client, or for these."""
    return Config(
        signature_version="v4a",
        retries={"total_max_attempts": 1},
        **({} if regions is None else {"sigv4a_signing_region_set": regions}),
    )


@pytest.fixture(scope="module")
def root(server: Production) -> Any:
    return server.client(config=asymmetric("*"))


def test_the_same_key_by_both_algorithms(server: Production, root: Any, kms: Any, key: Any) -> None:
    secret = root.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=secret)["Plaintext"] == b"x"
    sts = server.client("sts", config=asymmetric("*"))
    assert sts.get_caller_identity()["Arn"] == f"arn:aws:iam::{ACCOUNT}:root"


def test_a_request_goes_where_its_key_is(server: Production, root: Any) -> None:
    ireland = server.client(access=server.root._replace(region="eu-west-1"))
    arn = ireland.create_key()["KeyMetadata"]["Arn"]
    assert root.describe_key(KeyId=arn)["KeyMetadata"]["Arn"] == arn
    assert code_of(root.describe_key, KeyId=arn.rpartition("/")[2]) == "NotFoundException"
    ireland.create_alias(AliasName="alias/ireland", TargetKeyId=arn)
    assert root.describe_key(KeyId=arn.replace(f"key/{arn.rpartition('/')[2]}", "alias/ireland"))
    assert root.create_key()["KeyMetadata"]["Arn"].split(":")[3] == "us-east-1"
    assert code_of(root.describe_key, KeyId=f"arn:aws:kms:nowhere:{ACCOUNT}:key/1") == "NotFoundException"


def test_a_region_that_was_not_signed_for(server: Production) -> None:
    ireland = server.client(access=server.root._replace(region="eu-west-1"))
    arn = ireland.create_key()["KeyMetadata"]["Arn"]
    european = server.client(config=asymmetric("eu-*"))
    assert european.describe_key(KeyId=arn)["KeyMetadata"]["Arn"] == arn
    with refused("InvalidSignatureException", "The X-Amz-Region-Set that was signed does not cover us-east-1.", 400):
        european.list_keys()
    with refused("InvalidSignatureException", "The X-Amz-Region-Set that was signed does not cover eu-west-1.", 400):
        server.client(config=asymmetric("us-east-1")).describe_key(KeyId=arn)


def test_a_wrong_secret(server: Production) -> None:
    wrong = server.client(access=Access(ALICE.key_id, "x" * 40), config=asymmetric("*"))
    assert code_of(wrong.list_keys) == "InvalidSignatureException"
    assert code_of(
        server.client(access=Access("AKIANOBODY0000000000", "x" * 40), config=asymmetric("*")).list_keys
    ) == ("UnrecognizedClientException")


def test_a_session_signs_so_too(server: Production, key: Any) -> None:
    role = new_role(server.client("iam"), trusting(user("Alice")), allow("kms:*"))
    credentials = assumed(server.client("sts", ALICE, config=asymmetric("*")), role)
    mine = using(server.url, credentials, config=asymmetric("*"))
    secret = mine.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    assert using(server.url, credentials).decrypt(CiphertextBlob=secret)["Plaintext"] == b"x"
    swapped = assumed(server.client("sts", ALICE), role) | {"SessionToken": credentials["SessionToken"]}
    assert code_of(using(server.url, swapped, config=asymmetric("*")).list_keys) == "UnrecognizedClientException"


def test_only_regions_that_there_are(start: Callable[..., Production]) -> None:
    server = start("--regions", "us-east-1,eu-west-1")
    root = server.client(config=asymmetric("*"))
    root.list_keys()
    with refused("InvalidSignatureException", "Credential should be scoped to a valid region. "):
        root.describe_key(KeyId=f"arn:aws:kms:ap-south-1:{ACCOUNT}:key/1234")


def test_in_development_strangers_sign_so_too(start_dev: Callable[..., Any]) -> None:
    server = start_dev()
    stranger = client(server.url, "kms", Access("test", "test"), config=asymmetric("*"))
    arn = stranger.create_key()["KeyMetadata"]["Arn"]
    assert stranger.describe_key(KeyId=arn)["KeyMetadata"]["Arn"] == arn
