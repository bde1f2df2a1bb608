"""The torch cases run inside a virtual GPU session, started by `test_torch_cases.py`."""

collect_ignore = ["torch_cases"]
