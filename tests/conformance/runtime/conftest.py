"""The cases run in processes of their own, started by `test_runtime.py`."""

collect_ignore = ["cases"]
