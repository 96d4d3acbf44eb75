"""`python -m pipeline` is `bluelight`."""

from pipeline.cli import main

main()
