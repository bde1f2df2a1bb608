"""Shared memory made on node 0, looked for on both nodes: prints which of them finds it."""

import os
import subprocess
import sys
from multiprocessing import resource_tracker, shared_memory

if len(sys.argv) > 1:
    try:
        found = shared_memory.SharedMemory(name=sys.argv[1])
        resource_tracker.unregister(found._name, "shared_memory")  # type: ignore[attr-defined]
        assert found.buf is not None
        print("found", bytes(found.buf[:5]).decode(), flush=True)
    except FileNotFoundError:
        print("nothing", flush=True)
else:
    memory = shared_memory.SharedMemory(create=True, size=100)
    assert memory.buf is not None
    memory.buf[:5] = b"hello"
    for node in ("0", "1"):
        words = [sys.executable, __file__, memory.name]
        subprocess.run(words, env=os.environ | {"REVATI_NODE": node}, check=True)
    memory.close()
    memory.unlink()
