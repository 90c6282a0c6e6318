"""Run as: python -m ddecli"""

from ddecli.cli.app import main

main()
