"""`ddecli sample`."""


def sample() -> None:
    """To be written."""
