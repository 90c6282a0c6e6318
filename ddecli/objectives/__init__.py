"""One loss a file: pure functions of noise errors and timesteps."""
