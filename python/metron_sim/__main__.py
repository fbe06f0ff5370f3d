"""`python -m metron_sim` is the command-line program."""

from ._program import main

main()
