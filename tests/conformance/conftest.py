"""Cases run inside a virtual GPU session, started by `test_torch_cases.py` and `test_library_cases.py`."""

collect_ignore_glob = ["torch_cases", "*/cases"]
