"""What runs in the child of `Emulation.call`: `child.py QUESTION ANSWER`, two files.

It imports nothing of Revati: the function sees the module path of whoever called, not this file's folder.
"""

from __future__ import annotations

import os
import pickle
import sys
import traceback
from typing import Any


def main(question: str, answer: str) -> None:
    """Calls the function and writes what it returned or raised."""
    with open(question, "rb") as file:
        sys.path[:] = pickle.load(file)
        try:
            target, args, kwargs = pickle.load(file)
            outcome, value, trace = "returned", target(*args, **kwargs), ""
        except Exception as error:
            outcome, value, trace = "raised", error, traceback.format_exc()
    write(answer, outcome, value, trace)


def write(answer: str, outcome: str, value: Any, trace: str) -> None:
    """Writes at once, so that nobody reads half of it."""
    import cloudpickle  # noqa: PLC0415 (on the module path only now)

    try:
        packed = cloudpickle.dumps(value)
    except Exception as error:
        outcome, packed = "raised", cloudpickle.dumps(TypeError(f"the result cannot be pickled: {error}"))
    with open(f"{answer}.new", "wb") as file:
        pickle.dump((outcome, trace), file)
        file.write(packed)
    os.replace(f"{answer}.new", answer)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
