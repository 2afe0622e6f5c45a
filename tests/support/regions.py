# SPDX-License-Identifier: Apache-2.0
"""Requests to a development service in a Region of one's choice: its signature is not looked at, its scope is."""

import time
from typing import Any

from direct import Direct, Told, unsigned


def ask(kms: Direct, region: str, operation: str, **members: Any) -> Told:
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    authorization = (
        f"AWS4-HMAC-SHA256 Credential=test/{moment[:8]}/{region}/kms/aws4_request, "
        f"SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature={'0' * 64}"
    )
    headers = ((b"x-amz-date", moment.encode()), (b"authorization", authorization.encode()))
    return kms.send(unsigned(operation, members, *headers))
