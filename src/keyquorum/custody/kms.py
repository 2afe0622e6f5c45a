# SPDX-License-Identifier: Apache-2.0
"""A seal at another KMS, AWS's or a keyquorum, which encrypts the root key under one of its keys.

Key, Region and endpoint are the configuration's, and credentials are those of boto3's usual places: nothing that the
database says leads a request anywhere. The encryption context binds what the row says of itself, and tells the other
side's audit log what it decrypts.
"""

import hashlib
from typing import Any, Final, NamedTuple

import msgspec

from keyquorum.custody.seal import IN_USE, SealAway, SealError, bound, require_kind
from keyquorum.model import SealedRoot

KIND: Final = "kms"
_ROOT_KEY_BYTES: Final = 32
#: Faults that pass, or that the other side's people can make pass. Source: AWS KMS API reference, Encrypt and Decrypt.
_PASSING: Final = frozenset(
    {"DependencyTimeoutException", "KMSInternalException", "KeyUnavailableException", "DisabledException"}
    | {"KMSInvalidStateException", "ThrottlingException", "LimitExceededException", "RequestTimeoutException"}
)


class Where(NamedTuple):
    """``key``: ARN. ``endpoint``: None for AWS's."""

    key: str
    endpoint: str | None


class KeyName(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: str


class KmsSeal:
    def __init__(self, where: Where) -> None:
        """Raises SealError if the key is no ARN of one."""
        parts = where.key.split(":")
        if len(parts) != 6 or parts[0] != "arn" or parts[2] != "kms" or not parts[5].startswith("key/"):
            raise SealError("the key of another KMS must be told by its ARN, arn:aws:kms:REGION:ACCOUNT:key/ID")
        self._where = where
        self._region = parts[3]

    def seal(self, root_key: bytes, role: str = IN_USE) -> SealedRoot:
        row = SealedRoot(b"", KIND, msgspec.json.encode(KeyName(self._where.key)).decode())
        answer = self._call("encrypt", Plaintext=root_key, EncryptionContext=_context(row, role))
        return row._replace(sealed=answer["CiphertextBlob"])

    def open(self, sealed: SealedRoot, role: str = IN_USE) -> bytes:
        require_kind(sealed, KIND)
        answer = self._call("decrypt", CiphertextBlob=sealed.sealed, EncryptionContext=_context(sealed, role))
        root_key = bytes(answer["Plaintext"])
        if len(root_key) != _ROOT_KEY_BYTES:
            raise SealError(f"what {self._where.key} decrypts is no root key")
        return root_key

    def _call(self, operation: str, **arguments: Any) -> Any:
        try:
            import boto3
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ParamValidationError
        except ImportError as error:
            raise SealError("a seal at another KMS needs the extra kms: pip install 'keyquorum[kms]'") from error
        key = self._where.key
        config = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2})
        try:
            # A session of its own: boto3's common one keeps the credentials that it found first, whoever asked.
            client = boto3.Session().client(
                "kms", region_name=self._region, endpoint_url=self._where.endpoint or None, config=config
            )
            answer = getattr(client, operation)(KeyId=key, **arguments)
        except ClientError as error:
            code = str(error.response["Error"]["Code"])
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if status >= 500 or code in _PASSING:
                raise SealAway(f"{key} cannot be used now: {code}") from None
            raise SealError(f"{operation} under {key} is refused: {code}") from None
        except (NoCredentialsError, ParamValidationError, ValueError) as error:
            raise SealError(f"{operation} under {key} cannot be asked for: {type(error).__name__}") from None
        except BotoCoreError as error:
            raise SealAway(f"the KMS of {key} cannot be reached: {type(error).__name__}") from None
        if answer["KeyId"] != key:
            raise SealError(f"{key} was asked for, and another key answered")
        return answer


def _context(row: SealedRoot, role: str) -> dict[str, str]:
    return {"keyquorum:purpose": "root key", "keyquorum:row": hashlib.sha256(bound(row, role)).hexdigest()}
