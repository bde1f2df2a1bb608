#!/usr/bin/env python3
"""The conformance cases on a real GPU, with what differs from the virtual one; `--help` tells the options."""

import sys

import bootstrap

bootstrap.prepare()

from revati.profile.conformance import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
