# SPDX-License-Identifier: Apache-2.0
"""All that is told of an operation, in one value."""

from typing import Final

from msgspec import Struct

from keyquorum.ops import registry
from keyquorum.reference.examples import EXAMPLES, Example
from keyquorum.reference.faults import errors_of
from keyquorum.reference.permissions import PERMISSIONS, Permission
from keyquorum.reference.purposes import FAMILIES, FAMILY_OF, PURPOSES
from keyquorum.reference.shapes import Field, request_fields, response_fields
from keyquorum.reference.states import states_of


class Page(Struct, frozen=True):
    """``available``: False for what answers UnsupportedOperationException whatever is asked. ``usage``: the KeyUsage
    that a key must have, if any. ``states``: key state -> the error there, "" where it works; empty for what is about
    no one key. ``errors``: code and meaning; those of ``faults.COMMON`` may come besides."""

    operation: str
    family: str
    purpose: str
    available: bool
    usage: str | None
    request: tuple[Field, ...]
    response: tuple[Field, ...]
    states: tuple[tuple[str, str], ...]
    permissions: tuple[Permission, ...]
    errors: tuple[tuple[str, str], ...]
    example: Example


def _page(operation: str) -> Page:
    there = registry.KMS.get(operation)
    return Page(
        operation=operation,
        family=FAMILY_OF[operation],
        purpose=PURPOSES[operation],
        available=there is not None,
        usage=None if there is None else there.usage,
        request=request_fields(operation),
        response=response_fields(operation),
        states=states_of(operation),
        permissions=PERMISSIONS[operation],
        errors=errors_of(operation),
        example=EXAMPLES[operation],
    )


#: Operation -> its page, by family.
PAGES: Final[dict[str, Page]] = {name: _page(name) for names in FAMILIES.values() for name in names}
