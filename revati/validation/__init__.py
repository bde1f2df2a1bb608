"""`revati validate`: measured servings, replayed on virtual GPUs and compared."""
