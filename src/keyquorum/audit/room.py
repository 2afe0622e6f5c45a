# SPDX-License-Identifier: Apache-2.0
"""Disk space for a file, taken before it is needed, so that what must be written can be.

It is allocated past the end of the file, whose size stays what was written (``fallocate`` with FALLOC_FL_KEEP_SIZE, of
Linux). On a file system without that, the room is what ``statvfs`` says is free: another program may take it.
"""

import ctypes
import errno
import os
from typing import Final

_STEP: Final = 4 * 1024 * 1024
_KEEP_SIZE: Final = 1
_UNSUPPORTED: Final = (errno.EOPNOTSUPP, errno.ENOSYS)

_libc = ctypes.CDLL(None, use_errno=True)


class Room:
    """The room of the file ``fd``, which has ``end`` bytes."""

    def __init__(self, fd: int, end: int) -> None:
        self._fd = fd
        self._end = end
        self._supported = hasattr(_libc, "fallocate")

    def ensure(self, position: int, size: int) -> None:
        """See to it that ``size`` bytes from ``position`` on can be written; raises OSError if they cannot."""
        if position + size <= self._end:
            return
        if self._supported:
            start = max(position, self._end)
            needed = position + size - start
            if self._allocate(start, needed + _STEP) or self._allocate(start, needed):
                return
        if self._supported or self._free() < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def lost(self, position: int) -> None:
        """The file was cut to ``position``, and what was allocated after it is gone."""
        self._end = position

    def _allocate(self, start: int, size: int) -> bool:
        """False if there is not so much; without support, there is nothing to allocate."""
        if _libc.fallocate(self._fd, _KEEP_SIZE, ctypes.c_int64(start), ctypes.c_int64(size)) == 0:
            self._end = start + size
            return True
        error = ctypes.get_errno()
        if error in _UNSUPPORTED:
            self._supported = False
        elif error not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EINTR):
            raise OSError(error, os.strerror(error))
        return False

    def _free(self) -> int:
        status = os.fstatvfs(self._fd)
        return status.f_bavail * status.f_frsize
