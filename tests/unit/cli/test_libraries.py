"""The folder in which programs find the fakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from revati.launcher.libraries import NativeLibraries, link_folder


def test_copies_that_wheels_bring_along_are_led_to_the_fakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REVATI_CACHE", str(tmp_path / "cache"))
    files = [tmp_path / name for name in ("librevati_core.so", "libcudart.so.13", "libnccl.so.2")]
    copies = tmp_path / "site-packages" / "torchvision.libs"
    copies.mkdir(parents=True)
    names = [
        "libcudart.faf08d9a.so.13",
        "libnccl-00000001.so.2.28.9",
        "libcudart.faf08d9a.so.12",
        "libz.7dbeb23c.so.1",
    ]
    for path in [*files, *(copies / name for name in names)]:
        path.touch()
    libraries = NativeLibraries(files[0], tuple(files[1:]))
    links = link_folder(libraries, [copies.parent])
    assert {link.name: link.resolve() for link in links.iterdir()} == {
        "libcudart.so": files[1],
        "libcudart.so.13": files[1],
        "libcudart.faf08d9a.so.13": files[1],
        "libnccl.so": files[2],
        "libnccl.so.2": files[2],
        "libnccl-00000001.so.2.28.9": files[2],
    }
    assert link_folder(libraries) != links
