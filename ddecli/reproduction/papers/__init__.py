"""The claims of a paper, one file a paper."""
