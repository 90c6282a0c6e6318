"""What tells the built-in tiny world from real models: the size of its pictures."""

TINY_PIXELS = 64
"""Largest width and height of the tiny world's pictures, in pixels."""
