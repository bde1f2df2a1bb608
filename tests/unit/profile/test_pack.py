"""The packer and its other half, on a small environment made by hand."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from revati.errors import UsageError
from revati.profile.packing import environment as environments
from revati.profile.packing import pack as packer
from revati.profile.packing.recipe import Machine, Recipe

KIT = Path(__file__).parents[3] / "scripts" / "gpu"
UNPACK = KIT / "unpack.py"
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


def install(site: Path, name: str, files: dict[str, bytes], requires: tuple[str, ...] = ()) -> None:
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    needs = "".join(f"Requires-Dist: {text}\n" for text in requires)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs}")
    (info / "entry_points.txt").write_text(f"[console_scripts]\n{name} = {name}:main\n")
    for path, content in files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_bytes(content)
    own = [*files, f"{info.name}/METADATA", f"{info.name}/entry_points.txt"]
    (info / "RECORD").write_text("".join(f"{path},,\n" for path in own))


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    folder = tmp_path / "env"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    site = folder / "lib" / f"python{PYTHON}" / "site-packages"
    code = b"def main():\n    import small\n    print('it runs', small.VALUE)\n"
    noise = b"".join(hashlib.sha256(bytes([i % 256, i // 256])).digest() for i in range(3000))
    install(
        site,
        "engine",
        {"engine/__init__.py": code, "engine/noise.bin": noise, "engine/large.cu": b"x" * 100},
        ("small>=0.5", "torch", "extra-thing; extra == 'more'", "left-out"),
    )
    install(site, "small", {"small/__init__.py": b"VALUE = 7\n"})
    install(site, "torch", {"torch/__init__.py": b""}, ("numpy",))
    install(site, "numpy", {"numpy/__init__.py": b""})
    install(site, "extra_thing", {"extra_thing.py": b""})
    install(site, "left_out", {"left_out.py": b""})
    return folder


RECIPE = Recipe("trial", ("engine",), (), ("left-*",), ("*.cu",), (), ())


def machine(part_bytes: int = 60 << 20, python: str = PYTHON) -> Machine:
    return Machine(python, 90, ("torch",), part_bytes)


def unpack(dest: Path, *parts: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(UNPACK), str(dest), *map(str, parts)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_set_of_several_parts_rejoins_and_runs(environment: Path, tmp_path: Path) -> None:
    limit = (64 << 10) + 30_000
    manifest = packer.pack(environment, RECIPE, machine(limit), tmp_path / "set", preset=1)
    parts = sorted((tmp_path / "set").glob("part-*"))
    assert len(parts) == manifest["parts"] > 2
    assert all(sum(file.stat().st_size for file in part.iterdir()) <= limit for part in parts)
    assert manifest["packages"] == {"engine": "1.0", "small": "1.0"}
    done = unpack(tmp_path / "dest", *reversed(parts))
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "dest" / "engine" / "large.cu").exists()
    done = subprocess.run(
        [tmp_path / "dest" / "bin" / "engine"],
        env={"PYTHONPATH": str(tmp_path / "dest")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "it runs 7\n"
    # A process that the command spawns imports it as a module: nothing may run then.
    assert "__name__ == '__main__'" in (tmp_path / "dest" / "bin" / "engine").read_text()


def test_the_same_environment_gives_the_same_set(environment: Path, tmp_path: Path) -> None:
    first = packer.pack(environment, RECIPE, machine(), tmp_path / "a", preset=1)
    assert packer.pack(environment, RECIPE, machine(), tmp_path / "b", preset=1) == first


def test_damage_and_missing_parts_are_noticed(environment: Path, tmp_path: Path) -> None:
    packer.pack(environment, RECIPE, machine((64 << 10) + 30_000), tmp_path / "set", preset=1)
    parts = sorted((tmp_path / "set").glob("part-*"))
    done = unpack(tmp_path / "dest", *parts[:1])
    assert done.returncode == 1
    assert f"missing: part-1, part-{len(parts) - 1}" in done.stderr or "missing: part-1" in done.stderr
    chunk = next(parts[1].glob("*.xz.*"))
    data = bytearray(chunk.read_bytes())
    data[100] ^= 1
    chunk.write_bytes(data)
    done = unpack(tmp_path / "dest", tmp_path / "set")
    assert done.returncode == 1
    assert f"{chunk.name} is damaged" in done.stderr


def test_another_python_is_refused_on_both_sides(environment: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"make an environment with Python 3\.99"):
        packer.pack(environment, RECIPE, machine(python="3.99"), tmp_path / "set")
    packer.pack(environment, RECIPE, machine(), tmp_path / "set", preset=1)
    manifest = next((tmp_path / "set").rglob("manifest.json"))
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "python": "3.99"}))
    done = unpack(tmp_path / "dest", tmp_path / "set")
    assert done.returncode != 0
    assert "the set is for Python 3.99" in done.stderr


def test_another_version_of_what_the_machine_holds_is_refused(environment: Path, tmp_path: Path) -> None:
    other = Machine(PYTHON, 90, ("torch==1.0", "numpy==2.5.2"), 60 << 20)
    with pytest.raises(UsageError, match=r"numpy 1\.0 \(there: numpy==2\.5\.2\).*--make-env"):
        packer.pack(environment, RECIPE, other, tmp_path / "set")
    assert not (tmp_path / "set").exists()
    same = Machine(PYTHON, 90, ("torch==1.0", "numpy==1.0", "absent==3.0"), 60 << 20)
    packer.pack(environment, RECIPE, same, tmp_path / "set", preset=1)


def test_a_recipe_may_ask_for_a_version(environment: Path, tmp_path: Path) -> None:
    recipe = Recipe("trial", ("engine==2.0",), (), (), (), (), ())
    with pytest.raises(UsageError, match=r"is to hold engine==2\.0: 1\.0 instead"):
        packer.pack(environment, recipe, machine(), tmp_path / "set")


def test_the_environment_gets_the_machines_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[Sequence[str]] = []
    overrides: list[str] = []

    def run(command: Sequence[str]) -> None:
        ran.append(command)
        if "--override" in command:
            overrides.append(Path(command[command.index("--override") + 1]).read_text())

    monkeypatch.setattr(environments, "_run", run)
    monkeypatch.setattr(environments, "find_uv", lambda: "uv")
    there = Machine("3.99", 90, ("torch==1.0", "transformers==2.0"), 60 << 20)
    recipe = Recipe("trial", ("engine==1.0", "transformers"), ("pytest",), (), (), (), ())
    environments.make(tmp_path / "env", recipe, there)
    assert ran[0][-3:] == ["--python", "3.99", str(tmp_path / "env")]
    assert ran[1][-3:] == ["engine==1.0", "transformers", "pytest"]
    # A root is the recipe's own affair.
    assert overrides == ["torch==1.0"]
    environments.make_clean(tmp_path / "clean", there, "/a/python")
    assert "/a/python" in ran[2]
    assert ran[3][-2:] == ["torch==1.0", "transformers==2.0"]
    with pytest.raises(UsageError, match="remove it first"):
        environments.make_clean(tmp_path, there)


def test_the_recipes_of_the_kit_can_be_read() -> None:
    there = Machine.read(KIT / "machine.toml")
    assert {"torch", "triton", "transformers", "huggingface_hub", "numpy"} <= set(there.names)
    for path in sorted((KIT / "sets").glob("*.toml")):
        recipe = Recipe.read(path)
        assert any("==" in text for text in recipe.roots), path


def test_a_folder_of_something_else_is_left_alone(environment: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("data")
    with pytest.raises(UsageError, match="precious"):
        packer.pack(environment, RECIPE, machine(), tmp_path)
    assert (tmp_path / "precious").read_text() == "data"


def test_a_root_is_packed_even_if_the_machine_has_it(environment: Path, tmp_path: Path) -> None:
    recipe = Recipe("trial", ("engine", "torch"), (), ("left-*",), (), (), ())
    manifest = packer.pack(environment, recipe, machine(), tmp_path / "set", preset=1)
    assert set(manifest["packages"]) == {"engine", "small", "torch"}
