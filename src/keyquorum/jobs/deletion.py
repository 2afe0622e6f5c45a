# SPDX-License-Identifier: Apache-2.0
"""Deletion: a key whose date has come is deleted with all its material, then every file is rid of the wrapped material.

Two steps, each recorded: DeleteKey, from which on the key does not exist, and EraseKeyMaterial, once the write-ahead
log is cut. A process that dies in between leaves the second step to the next run, in whichever process. Several
processes may run this at once: the request path decides again on the locked row.
"""

import logging
from typing import Final

from keyquorum.clock import Clock
from keyquorum.errors import DependencyTimeoutException, IntegrityError, KMSError
from keyquorum.model import SERVICE, Caller
from keyquorum.ops.key_state import DELETE_KEY, ERASE_KEY_MATERIAL, DeletedKey
from keyquorum.ops.operation import Operation
from keyquorum.pipeline import Pipeline
from keyquorum.store.store import Store

_log = logging.getLogger(__name__)

_BATCH: Final = 100


def system(account: str, region: str) -> Caller:
    """The system principal, where a key is."""
    return Caller(account, region, "arn:aws:iam::aws:keyquorum", "keyquorum", SERVICE)


def run(store: Store, pipeline: Pipeline, clock: Clock) -> None:
    """Delete what is due, and erase what was deleted. Raises KMSError if the database cannot be had."""
    while _delete_due(store, pipeline, clock):
        pass
    with store.database.read() as connection:
        unerased = store.keys.unerased(connection)
    if unerased and store.database.erase():
        for key_id, account, region in unerased:
            _act(pipeline, ERASE_KEY_MATERIAL, key_id, system(account, region))


def _delete_due(store: Store, pipeline: Pipeline, clock: Clock) -> bool:
    """Whether there may be more."""
    with store.database.read() as connection:
        due = store.keys.due(connection, clock.now(), _BATCH)
    done = [_act(pipeline, DELETE_KEY, key_id, system(account, region)) for key_id, account, region in due]
    return len(due) == _BATCH and any(done)


def _act(pipeline: Pipeline, operation: Operation, key_id: str, caller: Caller) -> bool:
    try:
        pipeline.act(operation, DeletedKey(key_id), caller)
    except DependencyTimeoutException:
        raise
    except KMSError as error:
        # The deletion was cancelled in this moment, or another process was first.
        _log.info("%s of key %s: %s %s", operation.name, key_id, error.code, error.message)
        return False
    except IntegrityError as error:
        # One key whose rows were tampered with must not keep the others from their deletion.
        _log.error("%s of key %s: %s", operation.name, key_id, error)
        return False
    return True
