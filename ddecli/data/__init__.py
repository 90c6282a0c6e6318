"""Preference pairs: sources, cleaning, the pair store, draws."""
