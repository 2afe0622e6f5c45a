# SPDX-License-Identifier: Apache-2.0
"""What every opened key material has in common: it says its key spec, and it refuses to show or pickle the rest."""

from typing import NoReturn


class Opened:
    """Key material ready for use, or its public half. Nothing is set after construction, so threads may share it."""

    __slots__ = ("_spec",)

    def __init__(self, spec: str) -> None:
        self._spec = spec

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._spec}>"

    def __reduce__(self) -> NoReturn:
        # Pickles and copies end in queues, caches and crash reports. Other processes get the wrapped material.
        raise TypeError("opened key material is neither pickled nor copied")
