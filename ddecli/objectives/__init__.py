"""One loss a file: pure functions of errors and timesteps."""
