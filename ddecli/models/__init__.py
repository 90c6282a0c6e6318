"""One file a family of models: load, encode, predict noise, save."""
