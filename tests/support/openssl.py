# SPDX-License-Identifier: Apache-2.0
"""The ``openssl`` command line, another build than the library inside our process, to check keys and signatures by."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


class OpenSSL:
    """Runs ``openssl`` in a directory of its own; arguments that are bytes become files there."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files = 0
        if shutil.which("openssl") is None:
            if os.environ.get("CI"):
                pytest.fail("no openssl command")
            pytest.skip("no openssl command")

    def run(self, *arguments: str | bytes) -> bytes:
        """What it writes to standard output. A failure is an AssertionError with its standard error."""
        code, output, error = self._run(arguments)
        assert code == 0, error
        return output

    def fails(self, *arguments: str | bytes) -> bool:
        """Whether it exits with a failure."""
        return self._run(arguments)[0] != 0

    def _run(self, arguments: tuple[str | bytes, ...]) -> tuple[int, bytes, str]:
        words = [word if isinstance(word, str) else self._file(word) for word in arguments]
        done = subprocess.run(["openssl", *words], cwd=self._directory, capture_output=True, check=False)
        return done.returncode, done.stdout, done.stderr.decode()

    def _file(self, content: bytes) -> str:
        self._files += 1
        path = self._directory / f"{self._files}.bin"
        path.write_bytes(content)
        return path.name


@pytest.fixture
def openssl(tmp_path: Path) -> OpenSSL:
    """Skips where there is no ``openssl``, except in CI."""
    return OpenSSL(tmp_path)
