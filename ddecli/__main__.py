"""The command `ddecli`, and `python -m ddecli`."""

import os
import sys


def main() -> None:
    """Run the command line; a workflow's commands share the cost of importing, where that can be."""
    if os.environ.get("DDECLI_WORKFLOW"):
        from ddecli.workflow.forkserver import run_in_fork

        code = run_in_fork(sys.argv)
        if code is not None:
            sys.exit(code)
    from ddecli.cli.app import main as command

    command()


if __name__ == "__main__":
    main()
