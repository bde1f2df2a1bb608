"""`python -m revati`."""

from revati.cli import main

main()
