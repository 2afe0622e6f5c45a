# SPDX-License-Identifier: Apache-2.0
"""The modules of requests and responses are what the generator makes of the pinned models, and show no secret."""

import runpy
from pathlib import Path

import msgspec
import pytest

from keyquorum import api, iam_api, sts_api

ROOT = Path(__file__).parents[2]
GENERATOR = runpy.run_path(str(ROOT / "scripts" / "generate_api.py"))


MODULES = {"api": api, "iam_api": iam_api, "sts_api": sts_api}


def test_every_module_is_tested() -> None:
    assert set(MODULES) == set(GENERATOR["SERVICES"])


@pytest.mark.parametrize("name", MODULES)
def test_the_checked_in_module_is_what_the_pinned_model_gives(name: str) -> None:
    module = MODULES[name]
    assert Path(str(module.__file__)).read_bytes() == GENERATOR["generate"](name).encode(), "run: make api"
    assert all(shape.request in module.CONSTRAINTS for shape in module.OPERATIONS.values())


def test_every_operation_of_kms_is_there() -> None:
    assert len(api.OPERATIONS) == 56


def test_operations_without_output_have_no_response() -> None:
    assert api.OPERATIONS["EnableKey"].response is None
    assert api.OPERATIONS["ConnectCustomKeyStore"].response is api.ConnectCustomKeyStoreResponse
    assert "InvalidCiphertextException" in api.OPERATIONS["Decrypt"].exceptions


@pytest.mark.parametrize(
    ("wire", "attribute"),
    [("KeyId", "key_id"), ("AWSAccountId", "aws_account_id"), ("CloudHsmClusterId", "cloud_hsm_cluster_id")],
)
def test_attributes_are_snake_case(wire: str, attribute: str) -> None:
    assert GENERATOR["snake"](wire) == attribute


def test_wire_names_are_the_models() -> None:
    names = {field.name: field.encode_name for field in msgspec.structs.fields(api.KeyMetadata)}
    assert names["aws_account_id"] == "AWSAccountId"
    assert names["xks_key_configuration"] == "XksKeyConfiguration"


def test_a_trait_the_checks_do_not_know_stops_the_generator() -> None:
    model = {
        "shapes": {
            "In": {"type": "structure", "members": {"A": {"shape": "Text"}}},
            "Text": {"type": "string", "exclusiveMin": 3},
        },
        "operations": {"Do": {"input": {"shape": "In"}}},
    }
    with pytest.raises(SystemExit, match=r"Text has traits.*exclusiveMin"):
        GENERATOR["Api"](model, GENERATOR["SERVICES"]["api"]).text()


def test_repr_shows_no_secret() -> None:
    credential = api.XksProxyAuthenticationCredentialType(access_key_id="AKSECRET", raw_secret_access_key="RAWSECRET")
    request = api.CreateCustomKeyStoreRequest(
        custom_key_store_name="store", key_store_password="PWSECRET", xks_proxy_authentication_credential=credential
    )
    for text in (repr(request), str(request), repr(request.__rich_repr__())):
        assert "SECRET" not in text
        assert "custom_key_store_name" in text
        assert "key_store_password" in text


def test_repr_shows_how_long_a_blob_is() -> None:
    request = api.EncryptRequest(key_id="k", plaintext=b"SECRET", encryption_context={"purpose": "test"})
    assert repr(request) == (
        "EncryptRequest(key_id='k', plaintext='<6 bytes>', encryption_context={'purpose': 'test'})"
    )


@pytest.mark.parametrize(
    "shape",
    [
        iam_api.AccessKey(access_key_id="AKIA", secret_access_key="SECRET"),
        sts_api.Credentials(access_key_id="ASIA", secret_access_key="SECRET", session_token="SECRET"),
        sts_api.AssumeRoleRequest(role_arn="arn", token_code="SECRET"),
        sts_api.GetSessionTokenRequest(serial_number="arn", token_code="SECRET"),
        sts_api.AssumeRoleWithWebIdentityRequest(role_arn="arn", web_identity_token="SECRET"),
        sts_api.ProvidedContext(provider_arn="arn", context_assertion="SECRET"),
    ],
)
def test_repr_shows_no_credential(shape: api.Shape) -> None:
    assert "<secret>" in repr(shape)
    assert "SECRET" not in repr(shape)
    outer = sts_api.AssumeRoleResponse(credentials=shape) if isinstance(shape, sts_api.Credentials) else shape
    assert "SECRET" not in repr(outer)
