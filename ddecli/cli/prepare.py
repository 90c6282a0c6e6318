"""`ddecli prepare`."""


def prepare() -> None:
    """To be written."""
