"""Preference pairs of images that a model draws itself and scorers judge."""
