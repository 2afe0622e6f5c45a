# SPDX-License-Identifier: Apache-2.0
"""KMS requests in bytes, signed as an SDK signs them, many at a time and before they are sent.

It shares no code with the server, so that what the two agree on is Signature Version 4 and not a common mistake.
"""

import base64
import hashlib
import hmac
import json
import os
import time
import uuid
from typing import Any, NamedTuple

_SIGNED = "amz-sdk-invocation-id;content-type;host;x-amz-date;x-amz-target"


class Access(NamedTuple):
    access_key_id: str
    secret: str
    region: str


def encryption_context(number: int) -> dict[str, Any]:
    """The EncryptionContext member of a third of the requests: three pairs."""
    if number % 3:
        return {}
    return {"EncryptionContext": {"tenant": f"tenant-{number % 97}", "purpose": "invoice", "document": str(number)}}


def encrypt_body(key_id: str, plaintext: bytes, number: int) -> bytes:
    return _json({"KeyId": key_id, "Plaintext": _base64(plaintext), **encryption_context(number)})


def data_key_body(key_id: str, length: int, number: int) -> bytes:
    return _json({"KeyId": key_id, "NumberOfBytes": length, **encryption_context(number)})


def decrypt_body(ciphertext: str, number: int) -> bytes:
    """``ciphertext``: in Base64, as it was answered. Names no key, as most clients do."""
    return _json({"CiphertextBlob": ciphertext, **encryption_context(number)})


def sign(access: Access, host: str, operation: str, bodies: list[bytes]) -> list[bytes]:
    """One HTTP/1.1 request for each body. Every signature is another one, for every request has an ID of its own."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = f"{stamp[:8]}/{access.region}/kms/aws4_request"
    key = b"AWS4" + access.secret.encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    target = f"TrentService.{operation}"
    requests = []
    for body in bodies:
        invocation = str(uuid.UUID(bytes=os.urandom(16), version=4))
        canonical = (
            f"POST\n/\n\namz-sdk-invocation-id:{invocation}\ncontent-type:application/x-amz-json-1.1\nhost:{host}\n"
            f"x-amz-date:{stamp}\nx-amz-target:{target}\n\n{_SIGNED}\n{hashlib.sha256(body).hexdigest()}"
        )
        message = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = hmac.digest(key, message.encode(), "sha256").hex()
        head = (
            f"POST / HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: identity\r\nX-Amz-Target: {target}\r\n"
            "Content-Type: application/x-amz-json-1.1\r\nUser-Agent: Boto3/1.44.5 md/Botocore#1.44.5 os/linux"
            f" lang/python cfg/retry-mode#standard\r\namz-sdk-invocation-id: {invocation}\r\n"
            f"amz-sdk-request: attempt=1\r\nX-Amz-Date: {stamp}\r\nAuthorization: AWS4-HMAC-SHA256 "
            f"Credential={access.access_key_id}/{scope}, SignedHeaders={_SIGNED}, Signature={signature}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        requests.append(head.encode() + body)
    return requests


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
