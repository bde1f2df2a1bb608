#!/usr/bin/env python3
"""`revati profile record` for a machine that has torch and nothing of ours; `--help` tells the options."""

import sys

import bootstrap

bootstrap.prepare()

from revati.profile.record import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
