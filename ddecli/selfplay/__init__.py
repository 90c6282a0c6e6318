"""Training on pairs whose rejected pictures the model makes itself."""
