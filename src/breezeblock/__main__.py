"""`python -m breezeblock`: the command line."""

from breezeblock.cli.main import main

main()
