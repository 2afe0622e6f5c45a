# SPDX-License-Identifier: Apache-2.0
"""Removes old files from an audit directory, and leaves a signed statement of what they held, so that what is left can
still be verified. Nothing is removed from a log that is not whole, and no file that is appended to."""

from collections.abc import Iterator
from pathlib import Path

from keyquorum.audit import chain, files
from keyquorum.audit.checkpoints import Checkpoints, Removed
from keyquorum.audit.log import AuditError
from keyquorum.audit.record import second_of
from keyquorum.audit.signing import Signer, Verifier
from keyquorum.audit.verify import verify
from keyquorum.layout import sync_directory


def prune(directory: Path, signer: Signer, before: float, now: float) -> list[Path]:
    """Remove the files that were put aside and whose last record is older than ``before``: their paths.

    Raises AuditError for a log that is not whole, and OSError. A process that dies in between has left the statement
    and some of the files, and the log is whole all the same.
    """
    report = verify(directory, Verifier(signer.public_key()))
    if report.problems:
        raise AuditError(f"nothing is removed from a log that is not whole: {report.problems[0]}")
    removed = [found for writer in files.writers(directory) for found in _old(directory, writer, before)]
    if removed:
        Checkpoints(directory, signer).make(None, now, removed)
    paths = [directory / found.file for found in removed]
    for path in paths:
        path.unlink()
    sync_directory(directory)
    return paths


def _old(directory: Path, writer: int, before: float) -> Iterator[Removed]:
    """The writer's first files, as far as all in them is old."""
    active = files.active(directory, writer)
    aside = [path for _, path in files.rotated(directory, writer)]
    if not active.exists() or active.stat().st_size == 0:
        aside = aside[:-1]  # the next line follows its last
    for path in aside:
        chains: dict[str, int] = {}
        line = b""
        with path.open("rb") as file:
            for line in file:
                link = chain.link_of(line)
                if link is not None:
                    chains[link.chain] = link.sequence
        if second_of(line) >= before:
            return
        yield Removed(writer, path.name, chains, chain.hash_of(line))
