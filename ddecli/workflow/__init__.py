"""The Snakemake workflow's experiment: what its configuration asks for, checked before anything runs."""
