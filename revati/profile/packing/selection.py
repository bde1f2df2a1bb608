"""Which files of an installed environment a set holds."""

from __future__ import annotations

import fnmatch
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement

from revati.errors import UsageError
from revati.profile.packing.recipe import Machine, Recipe


@dataclass(frozen=True)
class Selection:
    """Files to take, relative to site-packages, and the commands they bring."""

    site: Path
    packages: Mapping[str, str]  # name -> version
    files: tuple[str, ...]
    scripts: Mapping[str, str]  # command -> module:function


def python_version(environment: Path) -> str:
    """The environment's Python, as `3.12`.

    Raises:
        UsageError: There is no such environment.
    """
    python = environment / "bin" / "python"
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        raise UsageError(f"{environment} is no Python environment: {error}") from None


def select(environment: Path, recipe: Recipe, machine: Machine) -> Selection:
    """Takes the recipe's packages and all they need, less what the machine holds and what is left out.

    Raises:
        UsageError: A root package is not installed there, or one that the machine holds is there in another version.
    """
    version = python_version(environment)
    site = environment / "lib" / f"python{version}" / "site-packages"
    installed = {canonical(d.metadata["Name"]): d for d in distributions(path=[str(site)])}
    for root in recipe.roots:
        found = installed.get(canonical(Requirement(root).name))
        if found is None or not _fits(root, found.version):
            has = f"{found.version} instead" if found else "not installed"
            raise UsageError(f"{environment} is to hold {root}: {has}; install that there.")
    # A root is taken even if the machine has the package: the recipe wants its own version of it.
    roots = {canonical(name) for name in recipe.root_names}
    _check_versions(environment, installed, [r for r in machine.present if _name(r) not in roots])
    present = closure(installed, machine.names, version, stop=()) - roots
    wanted = closure(
        installed, (*recipe.root_names, *recipe.also), version, stop=(*present, *recipe.leave_out)
    )
    chosen = {name: installed[name] for name in sorted(wanted)}
    files = sorted(
        {path for d in chosen.values() for path in _files(d, site) if not _matches(path, recipe.drop)}
    )
    scripts = {
        point.name: point.value
        for name in recipe.root_names
        for point in installed[canonical(name)].entry_points
        if point.group == "console_scripts"
    }
    return Selection(site, {name: d.version for name, d in chosen.items()}, tuple(files), scripts)


def _check_versions(environment: Path, installed: Mapping[str, Distribution], present: Iterable[str]) -> None:
    """A set leaves out what the machine's packages need. With other versions of them, it would leave out the wrong things."""
    wrong = [
        f"{_name(text)} {found.version} (there: {text})"
        for text in present
        if (found := installed.get(_name(text))) and not _fits(text, found.version)
    ]
    if wrong:
        raise UsageError(
            f"{environment} differs from the machine: {', '.join(wrong)}. What the machine's packages bring along depends "
            "on their versions, so this set might lack a package there; pack an environment of the machine's versions "
            "(--make-env makes one)."
        )


def _name(requirement: str) -> str:
    return canonical(Requirement(requirement).name)


def _fits(requirement: str, version: str) -> bool:
    return Requirement(requirement).specifier.contains(version, prereleases=True)


def closure(
    installed: Mapping[str, Distribution], roots: Iterable[str], version: str, stop: Iterable[str]
) -> set[str]:
    """Names of the roots and of everything they need that is installed; `stop` names what is not followed."""
    barred = tuple(canonical(name) for name in stop)
    environment = {key: str(value) for key, value in default_environment().items()}
    environment |= {"python_version": version, "python_full_version": f"{version}.0"}
    found: set[str] = set()
    waiting = [(canonical(root), frozenset[str]()) for root in roots]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen or name not in installed or _matches(name, barred):
            continue
        seen.add((name, extras))
        found.add(name)
        for text in installed[name].requires or ():
            requirement = Requirement(text)
            if _applies(requirement, extras, environment):
                waiting.append((canonical(requirement.name), frozenset(requirement.extras)))
    return found


def canonical(name: str) -> str:
    """A package's name in the index's normal form."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _applies(requirement: Requirement, extras: Iterable[str], environment: Mapping[str, str]) -> bool:
    if requirement.marker is None:
        return True
    return any(requirement.marker.evaluate({**environment, "extra": extra}) for extra in ("", *extras))


def _files(distribution: Distribution, site: Path) -> Iterable[str]:
    for entry in distribution.files or ():
        path = str(entry)
        if path.startswith(("..", "/")) or path.endswith((".pyc", ".pth")) or "__pycache__" in path:
            continue
        if (site / path).is_file():
            yield path


def _matches(text: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(text, pattern) for pattern in patterns)
