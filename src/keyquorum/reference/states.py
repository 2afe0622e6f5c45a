# SPDX-License-Identifier: Apache-2.0
"""In which key states an operation works, as the life cycle's table has it."""

from keyquorum import lifecycle
from keyquorum.errors import KMSError


def states_of(operation: str) -> tuple[tuple[str, str], ...]:
    """Each key state with the code of the error that a key in it answers with, "" where the operation works; nothing
    for an operation that is about no one key."""
    try:
        return tuple((state, _refusal(operation, state)) for state in lifecycle.STATES)
    except KeyError:
        return ()


def _refusal(operation: str, state: str) -> str:
    try:
        lifecycle.check(operation, state, "")
    except KMSError as refused:
        return refused.code
    return ""
