#!/usr/bin/env python3
"""`revati profile pack`, from a checkout. `--help` tells the options."""

import sys

import bootstrap

bootstrap.prepare()

from revati.profile.packing.main import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
