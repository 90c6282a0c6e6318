"""The rules that judge claims."""
