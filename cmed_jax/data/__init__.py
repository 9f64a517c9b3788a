"""Records of the dataset: their schema, and making, reading, batching and augmenting them."""
