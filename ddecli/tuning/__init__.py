"""Beta and learning rate from a grid of trials."""
