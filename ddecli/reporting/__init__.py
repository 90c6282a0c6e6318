"""Tables, figures and comparison statistics."""
