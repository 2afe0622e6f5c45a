# SPDX-License-Identifier: Apache-2.0
"""Validation of imported RSA keys, in a process of its own that ends with it: it holds the interpreter's lock for a
quarter of a second, in a thread too, and nobody else's request has to wait for that. All else is validated where it is.

The key material goes through pipes, never through arguments, the environment or a file.
"""

import subprocess
import sys
from typing import Final

from keyquorum.crypto import software
from keyquorum.errors import IncorrectKeyMaterialException
from keyquorum.hardening import keep_private

_SLOW: Final = "RSA_"
_REFUSED: Final = 3
_SECONDS: Final = 30


def parse_import(spec: str, plaintext: bytes) -> bytes:
    """As ``software.parse_import``. Raises RuntimeError if the process does not do its work."""
    if not spec.startswith(_SLOW):
        return software.parse_import(spec, plaintext)
    command = [sys.executable, "-P", "-m", "keyquorum.crypto.apart", spec]
    done = subprocess.run(  # noqa: S603 - this module
        command, input=plaintext, stdout=subprocess.PIPE, check=False, timeout=_SECONDS
    )
    if done.returncode == _REFUSED:
        raise IncorrectKeyMaterialException
    if done.returncode != 0:
        raise RuntimeError(f"the validation of an imported key ended with {done.returncode}")
    return done.stdout


def _main() -> int:
    keep_private()
    try:
        sys.stdout.buffer.write(software.parse_import(sys.argv[1], sys.stdin.buffer.read()))
    except IncorrectKeyMaterialException:
        return _REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(_main())
