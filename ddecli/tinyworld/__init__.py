"""The built-in world: scenes, annotators, small real models and the recipe that made them."""
