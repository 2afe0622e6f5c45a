# SPDX-License-Identifier: Apache-2.0
"""Key materials: what is known of each, and its wrapped form, which has a table and a fixed place of its own."""

from typing import Any, Final

import msgspec
import sqlalchemy as sa

from keyquorum.errors import IntegrityError
from keyquorum.model import Key, KeyMaterial
from keyquorum.store import roots, schema
from keyquorum.store.engine import Transaction
from keyquorum.store.rowmac import RowMAC

_MATERIALS: Final = schema.key_materials
_WRAPPED: Final = schema.wrapped_materials

#: The wrapped form of a material, which opens for its own key ID and material ID alone.
_FORM: Final = (
    sa.select(_WRAPPED.c.wrapped).where(_WRAPPED.c.row == _MATERIALS.c.wrapped_row).scalar_subquery().label("wrapped")
)
_NAMED: Final = ("key_id", "region", "material_id")
_REWRAPPED: Final = ("keyring_version", "version", "mac")
_OVERWRITE: Final = (
    sa.update(_WRAPPED).where(_WRAPPED.c.row == sa.bindparam("place")).values(wrapped=sa.bindparam("form"))
)
_REPLACE: Final = (
    sa.update(_MATERIALS)
    .where(*[_MATERIALS.c[name] == sa.bindparam(f"new_{name}") for name in _NAMED])
    .values({name: sa.bindparam(f"new_{name}") for name in _REWRAPPED})
)


class Materials:
    """Changes are announced by whoever changes the key; every destruction is noted for its erasure from the files."""

    def __init__(self, mac: RowMAC) -> None:
        self._mac = mac

    def load(self, connection: sa.Connection, key_id: str, region: str) -> dict[str, KeyMaterial]:
        """Material ID -> material, in the order in which they came."""
        return {material.material_id: material for material, _ in self.placed(connection, key_id, region)}

    def placed(self, connection: sa.Connection, key_id: str, region: str) -> list[tuple[KeyMaterial, int | None]]:
        """The key's materials in the order in which they came, and where the wrapped form of each is."""
        order = ("created_at", "material_id")
        rows = self._mac.many(connection, _MATERIALS, order=order, unproven=(_FORM,), key_id=key_id, region=region)
        found = []
        for row in rows:
            place = row.pop("wrapped_row")
            if place is not None and row["wrapped"] is None:
                raise IntegrityError(f"key {key_id} has lost wrapped key material")
            found.append((KeyMaterial(**row), place))
        return found

    def insert(self, txn: Transaction, material: KeyMaterial) -> None:
        roots.check_newest(txn.connection, material.keyring_version)
        row = self._append(txn, material.wrapped) if material.wrapped is not None else None
        txn.connection.execute(sa.insert(_MATERIALS).values(self._sealed(material, row)))

    def update(self, txn: Transaction, material: KeyMaterial, **changes: Any) -> KeyMaterial:
        """The material with these members changed. Material that was wrapped before, and is not any more or is wrapped
        anew, is overwritten in place."""
        changed = msgspec.structs.replace(material, **changes, version=material.version + 1)
        row = self._row(txn.connection, material)
        if changed.wrapped != material.wrapped:
            if changed.wrapped is not None:
                roots.check_newest(txn.connection, changed.keyring_version)
            if row is not None:
                self._overwrite(txn, [row])
            row = None if changed.wrapped is None else self._append(txn, changed.wrapped)
        statement = sa.update(_MATERIALS).where(self._is(material)).values(self._sealed(changed, row))
        txn.connection.execute(statement)
        return changed

    def rewrap(self, txn: Transaction, rewrapped: list[tuple[KeyMaterial, int | None]]) -> None:
        """Materials, from ``placed``, that are wrapped under another keyring key now: each is written over its old
        form, which has the same length, so that nothing is left behind. Announced by whoever does it."""
        forms = [{"place": place, "form": material.wrapped} for material, place in rewrapped if place is not None]
        changed = []
        for material, place in rewrapped:
            values = self._sealed(msgspec.structs.replace(material, version=material.version + 1), place)
            changed.append({f"new_{name}": values[name] for name in (*_NAMED, *_REWRAPPED)})
        if forms:
            txn.connection.execute(_OVERWRITE, forms)
        if changed:
            txn.connection.execute(_REPLACE, changed)

    def before(
        self, connection: sa.Connection, version: int, after: tuple[str, str], limit: int
    ) -> list[tuple[str, str]]:
        """(key ID, Region) of at most ``limit`` keys after this one that have material under an older keyring key than
        this version, in their order. Unproven."""
        place = (_MATERIALS.c.key_id, _MATERIALS.c.region)
        # An expression, so that rows are found in their order rather than found by version and then all sorted.
        older = _MATERIALS.c.keyring_version + 0 < version
        query = sa.select(*place).where(older, sa.tuple_(*place) > sa.tuple_(*after))
        found = connection.execute(query.order_by(*place).distinct().limit(limit))
        return [(key_id, region) for key_id, region in found]

    def count_under(self, connection: sa.Connection, version: int) -> int:
        """How many materials say that they are under this keyring key. Unproven."""
        query = sa.select(sa.func.count()).select_from(_MATERIALS).where(_MATERIALS.c.keyring_version == version)
        return int(connection.execute(query).scalar_one())

    def destroy(self, txn: Transaction, material: KeyMaterial) -> None:
        """Remove a material that the key is to forget altogether."""
        row = self._row(txn.connection, material)
        if row is not None:
            self._overwrite(txn, [row])
        txn.connection.execute(sa.delete(_MATERIALS).where(self._is(material)))

    def destroy_all(self, txn: Transaction, key: Key) -> None:
        """Remove every material of the key."""
        query = sa.select(_MATERIALS.c.wrapped_row).where(self._of(key.key_id, key.region))
        rows = [row for row in txn.connection.execute(query).scalars() if row is not None]
        self._overwrite(txn, rows)
        txn.connection.execute(sa.delete(_MATERIALS).where(self._of(key.key_id, key.region)))

    def _overwrite(self, txn: Transaction, rows: list[int]) -> None:
        # The same number of bytes, so that the record keeps its place and size and the old bytes are what is written
        # over. (SQLite changes a record in place if its size stays; a test looks for what may be left.)
        for row in rows:
            this = _WRAPPED.c.row == row
            size = txn.connection.execute(sa.select(sa.func.length(_WRAPPED.c.wrapped)).where(this)).scalar()
            txn.connection.execute(sa.update(_WRAPPED).where(this).values(wrapped=bytes(size or 0)))

    def _append(self, txn: Transaction, wrapped: bytes) -> int:
        statement = sa.insert(_WRAPPED).values(wrapped=wrapped).returning(_WRAPPED.c.row)
        return int(txn.connection.execute(statement).scalar_one())

    def _row(self, connection: sa.Connection, material: KeyMaterial) -> int | None:
        row = self._mac.one(
            connection, _MATERIALS, key_id=material.key_id, region=material.region, material_id=material.material_id
        )
        return None if row is None else row["wrapped_row"]

    def _sealed(self, material: KeyMaterial, wrapped_row: int | None) -> dict[str, Any]:
        values = {**msgspec.structs.asdict(material), "wrapped_row": wrapped_row}
        del values["wrapped"]
        return self._mac.seal(_MATERIALS, values)

    @staticmethod
    def _of(key_id: str, region: str) -> sa.ColumnElement[bool]:
        return sa.and_(_MATERIALS.c.key_id == key_id, _MATERIALS.c.region == region)

    @staticmethod
    def _is(material: KeyMaterial) -> sa.ColumnElement[bool]:
        return sa.and_(
            _MATERIALS.c.key_id == material.key_id,
            _MATERIALS.c.region == material.region,
            _MATERIALS.c.material_id == material.material_id,
        )
