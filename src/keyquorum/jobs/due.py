# SPDX-License-Identifier: Apache-2.0
"""What comes due: deletions, rotations, expiries. Each acts on the request path as the system principal, and decides
again there on the locked row: several processes may run this at once.

A deleted key's, or a deleted material's, wrapped form is then removed from every file, and that is recorded too. A
process that dies in between leaves the rest to the next run, in whichever process.
"""

import logging
from collections.abc import Callable
from typing import Any, Final

import sqlalchemy as sa

from keyquorum.clock import Clock
from keyquorum.errors import DependencyTimeoutException, IntegrityError, KMSError
from keyquorum.model import SERVICE, Caller
from keyquorum.ops.key_state import DELETE_KEY, ERASE_KEY_MATERIAL, Erasure
from keyquorum.ops.material import DELETE_EXPIRED_KEY_MATERIAL
from keyquorum.ops.operation import Operation
from keyquorum.ops.rotation import ROTATE_KEY
from keyquorum.ops.rules import DueKey
from keyquorum.pipeline import Pipeline
from keyquorum.store.keys import Place
from keyquorum.store.store import Store

_log = logging.getLogger(__name__)

_BATCH: Final = 100
_COUNTED: Final = 1000

_Finder = Callable[[sa.Connection, float, int, int], list[Place]]


def system(account: str, region: str) -> Caller:
    """The system principal, where a key is."""
    return Caller(account, region, "arn:aws:iam::aws:keyquorum", "keyquorum", SERVICE)


def run(store: Store, pipeline: Pipeline, clock: Clock) -> None:
    """Do all that is due. Raises KMSError if the database cannot be had.

    A deletion cannot be taken back, so it waits while the clock is in doubt.
    """
    steady = clock.is_steady()
    jobs: tuple[tuple[_Finder, Operation], ...] = (
        (store.keys.due_for_expiry, DELETE_EXPIRED_KEY_MATERIAL),
        (store.keys.due_for_rotation, ROTATE_KEY),
        (store.keys.due_for_deletion, DELETE_KEY),
    )
    for find, operation in jobs:
        if operation is DELETE_KEY and not steady:
            continue
        _run(store, pipeline, clock, find, operation)
    _erase(store, pipeline)


def backlog(store: Store, clock: Clock) -> dict[str, int]:
    """How much is due and not done, by operation, and counted only so far. Raises KMSError."""
    with store.database.read() as connection:
        return {
            operation.name: len(find(connection, clock.now(), _COUNTED, 0))
            for find, operation in (
                (store.keys.due_for_expiry, DELETE_EXPIRED_KEY_MATERIAL),
                (store.keys.due_for_rotation, ROTATE_KEY),
                (store.keys.due_for_deletion, DELETE_KEY),
            )
        }


def _run(store: Store, pipeline: Pipeline, clock: Clock, find: _Finder, operation: Operation) -> None:
    failed, more = 0, True
    while more:
        with store.database.read() as connection:
            # What failed is still there, before all that has not been tried yet.
            due = find(connection, clock.now(), _BATCH, failed)
        done = [_act(pipeline, operation, DueKey(key_id), system(account, region)) for key_id, account, region in due]
        failed += done.count(False)
        more = len(due) == _BATCH


def _erase(store: Store, pipeline: Pipeline) -> None:
    with store.database.read() as connection:
        pending = store.keys.erasures.pending(connection)
    if pending and store.database.erase():
        for erasure in pending:
            request = Erasure(erasure.key_id, erasure.row)
            _act(pipeline, ERASE_KEY_MATERIAL, request, system(erasure.account, erasure.region))


def _act(pipeline: Pipeline, operation: Operation, request: Any, caller: Caller) -> bool:
    try:
        pipeline.act(operation, request, caller)
    except DependencyTimeoutException:
        raise
    except KMSError as error:
        # Cancelled in this moment, or another process was first.
        _log.info("%s of key %s: %s %s", operation.name, request.key_id, error.code, error.message)
        return False
    except IntegrityError as error:
        # One key whose rows were tampered with must not keep the others waiting.
        _log.error("%s of key %s: %s", operation.name, request.key_id, error)
        return False
    return True
