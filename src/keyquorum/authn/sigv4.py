# SPDX-License-Identifier: Apache-2.0
"""Verification of AWS Signature Version 4 in the Authorization header.

Pure: values and one ``now``; no store, no clock, no log. The caller looks up the secret between ``parse`` and
``verify``, and may keep a derived key only after ``verify`` has returned. ``parse`` takes SigV4A as well, and
``SignedRequest.algorithm`` tells which module's ``verify`` is asked.

Source: IAM User Guide, "Create a signed AWS API request".
"""

import hmac

from keyquorum.authn.authorization import SKEW, parse
from keyquorum.authn.canonical import SIGV4, TERMINATOR, SignedRequest, message, mismatch
from keyquorum.model import HttpRequest

__all__ = ["SKEW", "SignedRequest", "derive_key", "parse", "verify"]


def derive_key(secret: str | bytes, date: str, region: str, service: str) -> hmac.HMAC:
    """The signing key of one secret access key for one day, Region and service.

    It comes as an HMAC of nothing yet, to be copied for each message: that costs half of keying one anew.
    """
    key = b"AWS4" + (secret.encode() if isinstance(secret, str) else secret)
    for part in (date, region, service):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(hmac.digest(key, TERMINATOR, "sha256"), digestmod="sha256")


def verify(request: HttpRequest, signed: SignedRequest, signing_key: hmac.HMAC) -> None:
    """Return if ``signing_key`` signed exactly this request, else raise InvalidSignatureException.

    ``signed`` must come from ``parse(request, ...)``: method, target and body are read from ``request``, headers
    from ``signed``.
    """
    if signed.algorithm != SIGV4:
        raise mismatch("a signature of another algorithm")
    keyed = signing_key.copy()
    keyed.update(message(request, signed))
    if not hmac.compare_digest(keyed.hexdigest().encode(), signed.signature):
        raise mismatch()
