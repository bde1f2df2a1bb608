#!/usr/bin/env python3
"""Real servings on a machine that has torch and a packed framework; `--help` tells the options."""

import sys

import bootstrap

bootstrap.prepare()

from revati.profile.truth import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
