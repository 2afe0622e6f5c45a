# SPDX-License-Identifier: Apache-2.0
"""What a process that holds keys gives up at its start, so that its memory and files stay its own: core dumps, being
traced by others of its user, new privileges, swap where that is permitted, and files that others could open.

It guards against accidents and other users, not against root.
"""

import ctypes
import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

# linux/prctl.h, linux/capability.h, asm-generic/mman.h
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_CAP_IPC_LOCK: Final = 14
_MCL_CURRENT: Final = 1
_MCL_FUTURE: Final = 2
_MCL_ONFAULT: Final = 4

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


class HardeningError(Exception):
    """The process or its files cannot be made safe; the text says what to do."""


def keep_private() -> None:
    """No core dump, no ptrace and no /proc/PID/mem for others, no privileges by running setuid programs, and files for
    their owner alone. Children inherit all of it but the second, which ends with execve()."""
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((_PR_SET_DUMPABLE, 0), (_PR_SET_NO_NEW_PRIVS, 1)):
        if libc.prctl(option, value, 0, 0, 0) != 0:
            raise HardeningError(f"prctl({option}) failed: {os.strerror(ctypes.get_errno())}")


def lock_memory() -> str | None:
    """Keep what this process has and will have in memory out of the swap. None if that is done, else why it is not.

    Only where no limit applies: with one, memory that is asked for later would be refused to a server at work. Pages
    are locked as they are touched, or each thread would take the whole of its stack.
    """
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] != resource.RLIM_INFINITY and not _has_capability(_CAP_IPC_LOCK):
        return "RLIMIT_MEMLOCK is not infinite (systemd: LimitMEMLOCK=infinity) and CAP_IPC_LOCK is not had"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) != 0:
        return f"mlockall() failed: {os.strerror(ctypes.get_errno())}"
    return None


def _has_capability(number: int) -> bool:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> number & 1)
    return False


def close_to_others(directory: Path) -> list[str]:
    """Make a data directory its owner's alone. What others could read is closed, and told in sentences. What others
    could write may already be theirs, and a key that they could read as well: HardeningError, so that somebody looks
    before it is used. Nothing in an empty directory can be."""
    told = []
    is_empty = next(directory.iterdir(), None) is None
    for path, mode in _open_to_others(directory):
        if (mode & _OTHERS_WRITE and not is_empty) or path.suffix == ".key":
            raise HardeningError(
                f"{path} is open to others (mode {mode:04o}): find out who used that, chmod go= {path}, "
                "and run keyquorum doctor"
            )
        try:
            path.chmod(mode & ~_OTHERS)
        except OSError as error:
            raise HardeningError(f"{path} is open to others (mode {mode:04o}): {error.strerror}") from error
        told.append(f"{path} was open to others (mode {mode:04o}); now it is its owner's alone")
    return told


def _open_to_others(directory: Path) -> Iterator[tuple[Path, int]]:
    """The directory, its files, and those of the directories in it."""
    for path in (directory, *directory.glob("*"), *directory.glob("*/*")):
        try:
            status = path.lstat()
        except FileNotFoundError:
            continue  # of another process of this server, which has just put it aside
        if status.st_mode & _OTHERS and (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            yield path, stat.S_IMODE(status.st_mode)
