"""`ddecli table`."""


def table() -> None:
    """To be written."""
