"""What is optimised: pure functions of errors and timesteps."""
