"""What a finished run shows the world: its card with pictures and scores."""
