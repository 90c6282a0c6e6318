"""The sections of the article."""
