# SPDX-License-Identifier: Apache-2.0
"""The AWS Encryption SDK for Python: keyrings and master key providers of AWS KMS, against a production server."""

from typing import Any

import aws_encryption_sdk
import pytest
from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders
from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig
from aws_cryptographic_material_providers.mpl.models import (
    CreateAwsKmsDiscoveryKeyringInput,
    CreateAwsKmsKeyringInput,
    CreateMultiKeyringInput,
    DiscoveryFilter,
)
from aws_encryption_sdk import CommitmentPolicy, EncryptionSDKClient
from aws_encryption_sdk.exceptions import AWSEncryptionSDKClientError
from servers import ACCOUNT, Production

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("encryption-sdk")]

CONTEXT = {"tenant": "a", "purpose": "orders"}
PLAINTEXT = b"a message of several frames " * 1000


@pytest.fixture(scope="module")
def sdk() -> EncryptionSDKClient:
    return aws_encryption_sdk.EncryptionSDKClient(commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT)


@pytest.fixture(scope="module")
def providers() -> AwsCryptographicMaterialProviders:
    return AwsCryptographicMaterialProviders(config=MaterialProvidersConfig())


def keyring(providers: Any, kms: Any, arn: str) -> Any:
    return providers.create_aws_kms_keyring(CreateAwsKmsKeyringInput(kms_key_id=arn, kms_client=kms))


def discovery(providers: Any, kms: Any, account: str = ACCOUNT) -> Any:
    accounts = DiscoveryFilter(account_ids=[account], partition="aws")
    return providers.create_aws_kms_discovery_keyring(
        CreateAwsKmsDiscoveryKeyringInput(kms_client=kms, discovery_filter=accounts)
    )


def test_keyring_and_discovery_keyring(sdk: Any, providers: Any, kms: Any, key: Any) -> None:
    own = keyring(providers, kms, key["Arn"])
    message, _ = sdk.encrypt(source=PLAINTEXT, keyring=own, encryption_context=CONTEXT)
    assert PLAINTEXT[:27] not in message
    for ring in (own, discovery(providers, kms)):
        plaintext, header = sdk.decrypt(source=message, keyring=ring, encryption_context=CONTEXT)
        assert plaintext == PLAINTEXT
        assert CONTEXT.items() <= header.encryption_context.items()


def test_what_a_keyring_must_refuse(sdk: Any, providers: Any, kms: Any, key: Any) -> None:
    own = keyring(providers, kms, key["Arn"])
    message, _ = sdk.encrypt(source=PLAINTEXT, keyring=own, encryption_context=CONTEXT)
    other = keyring(providers, kms, kms.create_key()["KeyMetadata"]["Arn"])
    for ring in (other, discovery(providers, kms, "444455556666")):
        with pytest.raises(AWSEncryptionSDKClientError):
            sdk.decrypt(source=message, keyring=ring, encryption_context=CONTEXT)
    with pytest.raises(AWSEncryptionSDKClientError):
        sdk.decrypt(source=message, keyring=own, encryption_context={**CONTEXT, "tenant": "b"})
    # The context stands in the message's header; the server must notice that it was changed there.
    changed = message.replace(b"orders", b"offers", 1)
    assert changed != message
    with pytest.raises(AWSEncryptionSDKClientError):
        sdk.decrypt(source=changed, keyring=own)
    kms.disable_key(KeyId=key["KeyId"])
    with pytest.raises(AWSEncryptionSDKClientError):
        sdk.decrypt(source=message, keyring=own, encryption_context=CONTEXT)


def test_any_key_of_a_multi_keyring_opens_the_message(sdk: Any, providers: Any, server: Production, key: Any) -> None:
    """A generator key and another one: GenerateDataKey with the first, Encrypt with the second."""
    kms = server.client()
    spare = kms.create_key()["KeyMetadata"]
    first = keyring(providers, kms, key["Arn"])
    second = keyring(providers, kms, spare["Arn"])
    multi = providers.create_multi_keyring(CreateMultiKeyringInput(generator=first, child_keyrings=[second]))
    message, _ = sdk.encrypt(source=PLAINTEXT, keyring=multi, encryption_context=CONTEXT)
    kms.disable_key(KeyId=key["KeyId"])
    plaintext, _ = sdk.decrypt(source=message, keyring=second, encryption_context=CONTEXT)
    assert plaintext == PLAINTEXT


def test_master_key_providers(sdk: Any, server: Production, key: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The older interface makes its own clients, from the environment that ``keyquorum env`` prints."""
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    strict = aws_encryption_sdk.StrictAwsKmsMasterKeyProvider(key_ids=[key["Arn"]])
    message, _ = sdk.encrypt(source=PLAINTEXT, key_provider=strict, encryption_context=CONTEXT)
    found = aws_encryption_sdk.DiscoveryAwsKmsMasterKeyProvider()
    for provider in (strict, found):
        plaintext, header = sdk.decrypt(source=message, key_provider=provider)
        assert plaintext == PLAINTEXT
        assert CONTEXT.items() <= header.encryption_context.items()
