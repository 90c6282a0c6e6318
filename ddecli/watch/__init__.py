"""Seeing a run train: its numbers in trackers, and contact sheets of what the model draws so far."""
