# SPDX-License-Identifier: Apache-2.0
"""What is done for a node that is lost for good. No operation of the API: it is for whoever holds the seal."""

from typing import Final

import msgspec

from keyquorum.errors import ValidationException
from keyquorum.ops.operation import Call, Keys, Operation


class Adoption(msgspec.Struct, frozen=True):
    """The node whose audit records are to be written by another. ``writer``: the number of the audit file."""

    node: str
    writer: int


def _adopt(call: Call, request: Adoption, _keys: Keys) -> None:
    outbox = call.services.store.outbox
    if request.node == outbox.node:
        raise ValidationException("this node writes its own records by itself")
    if not outbox.adopt(call.write(), request.node, request.writer):
        raise ValidationException(f"no records wait for node {request.node}")


ADOPT_AUDIT_RECORDS: Final = Operation(name="AdoptAuditRecords", run=_adopt, open=True, changes=True)
