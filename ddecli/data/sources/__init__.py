"""Where pairs come from: one kind of source a file, and the registry that recognises them."""
