"""Tables of scores side by side, and how they are written."""
