# SPDX-License-Identifier: Apache-2.0
"""Reads a backup to its end without restoring it: every chunk opens, every row carries its MAC, every wrapped secret is
what its row says it is, and the rows are as many as were written."""

from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from keyquorum.backup import frames, rows
from keyquorum.backup.container import BackupError, Header, Reader
from keyquorum.custody.root import RootKey
from keyquorum.errors import IntegrityError
from keyquorum.keyring import Keyring
from keyquorum.model import AccessKey, KeyMaterial
from keyquorum.store import schema
from keyquorum.store.rowmac import RowMAC

_SHOWN: Final = 100
_MAC: Final = "mac"
_BY_NAME: Final = {table.name: table for table in rows.TABLES}


@dataclass(slots=True)
class Damage:
    """Rows that were tampered with before they were backed up: ``shown`` are the first, ``found`` is how many."""

    shown: list[str] = field(default_factory=list)
    found: int = 0

    def add(self, what: str) -> None:
        self.found += 1
        if self.found <= _SHOWN:
            self.shown.append(what)


class Proof:
    """Looks at rows as they pass."""

    def __init__(self, root: RootKey) -> None:
        self.damage = Damage()
        self._root = root
        self._mac = RowMAC(root.derive("row mac"))
        self._wrapped: dict[int, bytes] = {}
        self._keyring: Keyring | None = None

    def see(self, table: sa.Table, values: dict[str, Any]) -> None:
        """Raises IntegrityError if no keyring key opens: with none of them, nothing does."""
        if table is schema.keyring_keys:
            self._wrapped[values["keyring_version"]] = values["wrapped"]
            return
        if _MAC not in table.columns:
            return
        try:
            proven = self._mac.check(table, values, "row" if "row" in table.columns else "")
            if table is schema.key_materials:
                self._see_material({**proven, rows.WRAPPED: values[rows.WRAPPED]})
            elif table is schema.access_keys and proven["public_key"] is None:
                self._opened().secret_of(AccessKey(**{**proven, "status": proven["status"] or ""}))
        except IntegrityError as error:
            self.damage.add(f"{table.name} {_name(table, values)}: {error}")

    def _see_material(self, values: dict[str, Any]) -> None:
        wrapped_row = values.pop("wrapped_row")
        if wrapped_row is not None:
            self._opened().check_material(KeyMaterial(**values))

    def _opened(self) -> Keyring:
        if self._keyring is None:
            self._keyring = Keyring(self._root, self._wrapped)
        return self._keyring


def _name(table: sa.Table, values: dict[str, Any]) -> str:
    return ascii(" ".join(str(values[column.name]) for column in table.primary_key.columns))


@dataclass(slots=True)
class Checked:
    header: Header
    counts: dict[str, int] = field(default_factory=dict)
    generation: int = 0
    digest: str = ""
    checkpoint: bytes = b""
    files: list[str] = field(default_factory=list)
    damage: Damage = field(default_factory=Damage)


def require_known(header: Header) -> None:
    """Raises BackupError for rows of a schema that is not this program's."""
    if header.schema not in schema.REVISIONS:
        raise BackupError(
            f"the backup has schema {header.schema}, which this version of keyquorum does not know (it knows up to "
            f"{schema.REVISIONS[-1]}): a newer version wrote it"
        )


def check(reader: Reader, root: RootKey) -> Checked:
    """Raises BackupError if the file is not whole, IntegrityError if its keyring keys do not open."""
    require_known(reader.header)
    found, proof = Checked(reader.header), Proof(root)
    table, names, left = None, list[str](), 0
    for frame in frames.read(reader.payload(root)):
        match frame:
            case frames.Table(name, names):
                table = table_of(name, names)
                found.counts[name] = 0
            case frames.Row(values) if table is not None:
                found.counts[table.name] += 1
                proof.see(table, row_of(table, names, values))
            case frames.File(name, size) if not left:
                found.files.append(name)
                left = size
            case frames.Data(data) if len(data) <= left:
                left -= len(data)
            case frames.Stated(line):
                found.checkpoint = line
            case frames.End(counts, generation, digest) if counts == found.counts and not left:
                found.generation, found.digest = generation, digest
            case _:
                raise BackupError("what the backup holds is not in its order, or not all there")
    found.damage = proof.damage
    return found


def table_of(name: str, names: list[str]) -> sa.Table:
    """Raises BackupError for a table that this program does not back up, or columns that it does not have."""
    table = _BY_NAME.get(name)
    if table is None or not set(names) <= set(rows.columns(table)):
        raise BackupError("the backup holds a table that this version of keyquorum does not know")
    return table


def row_of(table: sa.Table, names: list[str], values: list[Any]) -> dict[str, Any]:
    """What an older schema did not have is null, as after its migration."""
    if len(values) != len(names):
        raise BackupError("a row of the backup has another number of values than its table has columns")
    return {**dict.fromkeys(rows.columns(table)), **dict(zip(names, values, strict=True))}
