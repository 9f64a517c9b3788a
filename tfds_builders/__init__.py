"""Dataset builders, in the layout of those of TensorFlow Datasets."""
