"""An experiment held against a paper: what was measured, its claims, and the article."""
