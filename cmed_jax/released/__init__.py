"""Released networks: folders with all that a prediction needs, found by their names."""
