# SPDX-License-Identifier: Apache-2.0
"""House rules that no general linter knows, each with its reason. Prints what breaks one and exits with 1."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "keyquorum"
LONGEST = 500
GENERATED = ("api.py", "iam_api.py", "sts_api.py")
_WITH_SPDX = {".py", ".toml", ".yml", ".yaml", ".sh", ".mako"}


def _files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [path for name in listed.stdout.splitlines() if (path := ROOT / name).is_file()]


def licence(files: list[Path]) -> Iterator[str]:
    """Each source file names its licence, so that a file that is copied out keeps it."""
    for path in files:
        if path.suffix in _WITH_SPDX or path.name == "Makefile":
            head = path.read_text(encoding="utf-8").splitlines()[:2]
            if not any("SPDX-License-Identifier: Apache-2.0" in line for line in head):
                yield f"{path}: no SPDX line at the top"


def length(files: list[Path]) -> Iterator[str]:
    """A file over 500 lines holds more than one idea. Generated files do not count."""
    for path in files:
        if path.suffix == ".py" and path not in [PACKAGE / name for name in GENERATED]:
            lines = len(path.read_text(encoding="utf-8").splitlines())
            if lines > LONGEST:
                yield f"{path}: {lines} lines, more than {LONGEST}"


def calls(name: str, allowed: set[str], reason: str) -> Iterator[str]:
    """``name(...)`` or ``....name(...)`` is called in the allowed modules only."""
    for path in PACKAGE.rglob("*.py"):
        if str(path.relative_to(PACKAGE)) in allowed:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = node.func
                found = called.id if isinstance(called, ast.Name) else getattr(called, "attr", None)
                if found == name:
                    yield f"{path}:{node.lineno}: {name}() is for {', '.join(sorted(allowed)) or 'nobody'}: {reason}"


def states() -> Iterator[str]:
    """Only the lifecycle table compares key states: a second place is a second table, and they will differ."""
    for path in PACKAGE.rglob("*.py"):
        if path == PACKAGE / "lifecycle.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare):
                sides = [node.left, *node.comparators]
                if any(isinstance(side, ast.Attribute) and side.attr == "state" for side in sides):
                    yield f"{path}:{node.lineno}: a key state is compared outside lifecycle.py"


def main() -> int:
    files = _files()
    broken = [
        *licence(files),
        *length(files),
        *states(),
        *calls("AuthorizedKey", {"authz/authorize.py"}, "the proof of authorization is made where it is decided"),
        *calls("authorize", {"access.py"}, "the decision is a numbered step of the request path"),
        *calls("commit", {"store/postgresql.py"}, "transactions commit at the end of Database.write()"),
    ]
    print("\n".join(broken) if broken else "house rules: kept")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
