"""Records of the dataset: their schema, how they are made, read, batched and augmented."""
