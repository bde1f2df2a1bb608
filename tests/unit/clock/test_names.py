"""Names of sessions: one owner each, found by others, free again when the owner is gone however it went."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from revati.errors import UnsupportedError, UsageError
from revati.launcher import names
from revati.launcher.names import Record

OWNER = """
import sys, time
from revati.launcher import names
claim = names.claim(sys.argv[1])
claim.publish(names.Record(sys.argv[1], "/x", 1, "h200-sxm", 1, "modelled", ("vllm", "serve"), 1.0, None))
print("ready", flush=True)
time.sleep(1000)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REVATI_RUNTIME_DIR", str(tmp_path / "names"))
    return tmp_path / "names"


def owner(name: str) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", OWNER, name], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def record(name: str, path: str = "/x") -> Record:
    return Record(name, path, os.getpid(), "h200-sxm", 2, "modelled", ("vllm", "serve"), 5.0, "127.0.0.1:1")


def test_a_name_has_one_owner() -> None:
    first = names.claim("demo")
    assert first is not None
    assert names.claim("demo") is None
    first.release()
    second = names.claim("demo")
    assert second is not None
    second.release()


def test_a_published_session_is_found() -> None:
    claim = names.claim("demo")
    assert claim is not None
    claim.publish(record("demo"))
    assert names.find("demo") == record("demo")
    assert names.running() == [record("demo")]
    assert names.is_running(record("demo"))
    assert not names.is_running(record("demo", "/another/session/of/that/name"))
    claim.release()
    claim.release()
    assert names.running() == []
    assert not names.is_running(record("demo"))


def test_a_killed_owner_leaves_nothing(folder: Path) -> None:
    process = owner("demo")
    assert names.find("demo").clock == "modelled"
    assert names.claim("demo") is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (folder / "demo.json").exists()
    assert names.running() == []
    assert list(folder.iterdir()) == []
    claim = names.claim("demo")
    assert claim is not None
    claim.release()


def test_a_new_owner_does_not_show_the_old_session() -> None:
    process = owner("demo")
    process.kill()
    process.communicate()
    claim = names.claim("demo")
    assert claim is not None
    assert names.running() == []
    claim.release()


def test_free_names_are_made_up() -> None:
    first, second = names.claim_free("4711"), names.claim_free("4711")
    assert (first.name, second.name) == ("4711", "4711.2")
    first.release()
    second.release()


def test_an_unknown_name_says_what_there_is_and_what_to_do() -> None:
    claim = names.claim("other")
    assert claim is not None
    claim.publish(record("other"))
    with pytest.raises(UsageError, match=r"no session 'demo' \(running: other\).*revati run --session demo"):
        names.find("demo")
    claim.release()


@pytest.mark.parametrize("name", ["", "../x", "a b", "-x", ".hidden", "x" * 65, "a/b"])
def test_what_cannot_be_a_name(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name of a session"):
        names.claim(name)


def test_the_directory_is_private(folder: Path) -> None:
    assert names.folder() == folder
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)
    with pytest.raises(UnsupportedError, match="nobody else can enter"):
        names.folder()


def test_where_the_directory_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REVATI_RUNTIME_DIR")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert names.folder() == tmp_path / "revati"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "none"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert names.folder() == tmp_path / f"revati-{os.getuid()}"
