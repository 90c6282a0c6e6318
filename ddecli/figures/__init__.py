"""The figures of the paper, drawn from scored folders and runs; a figure a file."""
