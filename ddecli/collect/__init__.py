"""Votes of people on pairs of pictures: which pairs, in which order, how they are asked and kept, what they say."""
