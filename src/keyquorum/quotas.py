# SPDX-License-Identifier: Apache-2.0
"""The quotas, one table, with AWS's values unless the operator says otherwise.

Source: AWS KMS Developer Guide, "Resource quotas". (Lengths that the service model bounds are its constraints.)
"""

import msgspec


class Quotas(msgspec.Struct, frozen=True):
    """Exceeded, each is a LimitExceededException, but for tags, which have a TagException of their own."""

    keys_per_region: int = 100_000
    aliases_per_key: int = 50
    grants_per_key: int = 50_000
    tags_per_key: int = 50
    on_demand_rotations_per_key: int = 25


def parse(texts: tuple[str, ...]) -> Quotas:
    """The quotas, with those changed that ``name=number`` texts name. Raises ValueError."""
    changes: dict[str, int] = {}
    for text in texts:
        name, _, number = text.partition("=")
        if name not in Quotas.__struct_fields__ or not number.isascii() or not number.isdigit():
            known = ", ".join(Quotas.__struct_fields__)
            raise ValueError(f"{text!r} is not NAME=NUMBER with one of these names: {known}")
        changes[name] = int(number)
    return Quotas(**changes)
