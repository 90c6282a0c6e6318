"""`ddecli inception`."""


def inception() -> None:
    """To be written."""
