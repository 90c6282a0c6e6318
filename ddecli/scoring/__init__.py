"""One scorer a file, and the Inception Score."""
