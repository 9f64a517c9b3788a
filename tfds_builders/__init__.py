"""Dataset builders laid out as TensorFlow Datasets lays out its own."""
