"""Intervals, comparisons and what they are of: scores by prompt, trainings by seed."""
