"""A function in a child process that sees the virtual GPUs: its arguments and result travel in files of the session."""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, TypeVar

import cloudpickle

from revati.errors import ChildError, UsageError
from revati.launcher import child
from revati.launcher.clock import ClockControl
from revati.launcher.process import SupervisedProcess
from revati.launcher.session import VARIABLE, Session

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__revati_real_time_start__"
# The clock's page: there is one where time can be virtual.
_CLOCK_PAGE = "clock"


def real_time_start(target: F) -> F:
    """Decorates a function for `Emulation.call`: time stays real until it calls `revati.arm_clock()`.

    So that the start of an engine (imports, compilation) is not part of what is measured.
    """
    setattr(target, _MARK, True)
    return target


def starts_in_real_time(target: Callable[..., Any]) -> bool:
    """Whether it is so decorated."""
    return getattr(target, _MARK, False)


def arm_clock() -> None:
    """Makes time virtual, from inside a program that runs on virtual GPUs; without a clock nothing happens.

    Raises:
        UsageError: This program runs on no virtual GPUs.
        ClockError: The clock does not answer.
    """
    session = os.environ.get(VARIABLE)
    if session is None:
        raise UsageError(
            "arm_clock() is for programs on virtual GPUs: inside Emulation.call or `revati run`."
        )
    if (Path(session) / _CLOCK_PAGE).exists():
        ClockControl(Path(session)).arm_from_inside()


def call(
    launch: Callable[..., SupervisedProcess],
    session: Session,
    target: Callable[..., T],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> T:
    """Calls `target` in a process that `launch` starts.

    Raises:
        ChildError: It ended without an answer, or nothing that can be pickled.
    """
    with tempfile.TemporaryDirectory(prefix="call-", dir=session.path) as name:
        question, answer = Path(name) / "question", Path(name) / "answer"
        with question.open("wb") as file:
            pickle.dump([entry for entry in sys.path if entry] or [""], file)
            with _readable_there(target):
                cloudpickle.dump((target, tuple(args), dict(kwargs)), file)
        # Unbuffered: what it printed is there, whatever ends it.
        process = launch([sys.executable, "-u", child.__file__, str(question), str(answer)], client=True)
        try:
            code = process.wait()
        finally:
            process.kill()
        if not answer.is_file():
            reasons = [*session.fatal_messages(), *session.clock_message()[:1]]
            why = f": {'; '.join(reasons)}" if reasons else "; its own output says why"
            raise ChildError(f"the function's process ended with exit code {code}{why}.")
        value: T = _unpack(answer)
        return value


@contextlib.contextmanager
def _readable_there(target: Callable[..., Any]) -> Iterator[None]:
    """Inside, what lies in the function's module is pickled by value, if the child could not import that module.

    Modules of tests are such: pytest imports them by their files.
    """
    module = sys.modules.get(getattr(target, "__module__", ""))
    name = module.__name__.partition(".")[0] if module else "__main__"
    if module is None or name == "__main__" or name in sys.builtin_module_names:
        yield
        return
    if PathFinder.find_spec(name) is not None:
        yield
        return
    cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(module)


def _unpack(answer: Path) -> Any:
    with answer.open("rb") as file:
        kind, trace = pickle.load(file)
        try:
            value = pickle.load(file)
        except Exception as error:
            raise ChildError(f"the function's answer cannot be read here ({error}).\n{trace}") from error
    if kind == "returned":
        return value
    with contextlib.suppress(AttributeError):
        value.add_note(f"in the child process:\n{trace}")
    raise value
