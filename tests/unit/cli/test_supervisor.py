"""Who is found and ended when a command ends."""

from __future__ import annotations

import subprocess
import sys

# A program whose first thread has ended and whose second runs on: the kernel shows it as a zombie.
SCRIPT = """
import os, subprocess, sys, time
from revati.launcher import supervisor

inner = '''
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
print("up", flush=True)
ctypes.CDLL(None).syscall(60, 0)  # exit of this thread alone
'''
child = subprocess.Popen([sys.executable, "-c", inner], stdout=subprocess.PIPE)
child.stdout.readline()
while b") Z " not in open(f"/proc/{child.pid}/stat", "rb").read():
    time.sleep(0.01)
print(child.pid in supervisor.descendants(os.getpid()))
ended = supervisor.end_all(5.0)
print(child.pid in ended, supervisor.has_children(), os.path.exists(f"/proc/{child.pid}"))
"""


def test_a_program_that_has_lost_its_first_thread_is_ended_and_collected() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.splitlines() == ["True", "True False False"], done.stderr
