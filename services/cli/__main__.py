"""`python -m services.cli` is `novaflow`."""

from services.cli import main

main()
