# SPDX-License-Identifier: Apache-2.0
"""What a running server has given up, as the kernel shows it, and data directories that others could open."""

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from servers import Production, Program, RefusedToStart

from keyquorum import hardening

pytestmark = pytest.mark.slow


def processes(server: Program) -> list[int]:
    """The server's, and those that it started."""
    pid = server._process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


@pytest.mark.parametrize("workers", [1, 2])
def test_no_process_dumps_core_or_gains_privileges(start: Callable[..., Production], workers: int) -> None:
    server = start("--workers", str(workers))
    assert server.client().list_keys()["Keys"] == []
    found = [pid for pid in processes(server) if "resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_text()]
    assert len(found) == (1 if workers == 1 else 1 + workers)
    for pid in found:
        [core] = [line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if "core file size" in line]
        assert core.split()[4:6] == ["0", "0"]
        assert status(pid)["NoNewPrivs"] == "1"
        assert status(pid)["Umask"] == "0077"


LOOK = """
import ctypes, os, sys
from keyquorum import hardening
os.setgroups([]), os.setgid(65534), os.setuid(65534)
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # which setuid() took away
told, tell = os.pipe()
held, hold = os.pipe()
pid = os.fork()
if pid == 0:
    os.close(hold)
    if sys.argv[1] == "private":
        hardening.keep_private()
    os.write(tell, b"x")
    os.read(held, 1)
    os._exit(0)
os.read(told, 1)
try:
    open(f"/proc/{pid}/mem", "rb").close()
    print("open")
except PermissionError:
    print("refused")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_another_process_of_the_same_user_cannot_look_into_it() -> None:
    """Root can look into everything, so this is tried as somebody else: ptrace(2), "Ptrace access mode checking"."""
    assert _in_child(LOOK, "as it is") == "open\n"
    assert _in_child(LOOK, "private") == "refused\n"


def _in_child(source: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", source, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_memory_is_locked_where_that_is_permitted(start: Callable[..., Production]) -> None:
    """And a server whose memory is locked has room for what it does later: threads, RSA keys."""
    server = start()
    permitted = _in_child("from keyquorum import hardening; print(hardening.lock_memory())") == "None\n"
    assert (int(status(server._process.pid)["VmLck"].split()[0]) > 0) is permitted
    assert ("memory is not locked" in server.stderr.read_text()) is not permitted
    assert server.client().create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Enabled"]


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
import ctypes, os
ctypes.CDLL(None).prctl(24, 14, 0, 0, 0)  # CAP_IPC_LOCK out of the bounding set, and at execve() out of the rest
os.execv(sys.executable, [sys.executable, "-m", "keyquorum", *sys.argv[1:]])
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="takes a capability away")
def test_where_memory_cannot_be_locked(tmp_path: Path) -> None:
    options = ("serve", "--data", str(tmp_path / "data"), "--port", "0", "--memory-lock", "always")
    done = subprocess.run([sys.executable, "-c", LIMITED, *options], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stdout
    assert "--memory-lock always: RLIMIT_MEMLOCK is not infinite" in done.stderr


def test_never_means_never(start: Callable[..., Production]) -> None:
    assert status(start("--memory-lock", "never")._process.pid)["VmLck"].split()[0] == "0"


def test_what_others_could_read_is_closed_and_told(tmp_path: Path, start: Callable[..., Production]) -> None:
    server = start()
    server.stop()
    data = server.data
    data.chmod(0o755)
    (data / "audit").chmod(0o750)
    [first, *_] = sorted((data / "audit").glob("*.jsonl"))
    first.chmod(0o644)
    again = start()
    said = again.stderr.read_text()
    for path, mode, was in ((data, 0o700, "0755"), (data / "audit", 0o700, "0750"), (first, 0o600, "0644")):
        assert stat.S_IMODE(path.stat().st_mode) == mode
        assert f"{path} was open to others (mode {was})" in said


@pytest.mark.parametrize(
    ("name", "mode"),
    [("", 0o770), ("", 0o702), ("audit", 0o777), ("generations", 0o620), ("seal.key", 0o640), ("endpoint.json", 0o606)],
)
def test_what_others_could_write_stops_the_start(
    tmp_path: Path, start: Callable[..., Production], name: str, mode: int
) -> None:
    server = start()
    server.stop()
    path = server.data / name
    path.chmod(mode)
    with pytest.raises(RefusedToStart, match=f"is open to others .mode {mode:04o}."):
        start()
    assert stat.S_IMODE(path.stat().st_mode) == mode
    path.chmod(0o700 if path.is_dir() else 0o600)
    assert start().client().list_keys()["Keys"] == []


def test_an_empty_directory_that_a_group_made_is_taken(tmp_path: Path, start: Callable[..., Production]) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o775)
    server = start()
    assert stat.S_IMODE(server.data.stat().st_mode) == 0o700


def test_links_in_a_data_directory_are_left_alone(tmp_path: Path) -> None:
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    data.mkdir(mode=0o700)
    elsewhere.write_text("not ours")
    elsewhere.chmod(0o666)
    (data / "link").symlink_to(elsewhere)
    assert hardening.close_to_others(data) == []
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o666
    shutil.rmtree(data)
