"""The dataset of powder patterns and electron densities, laid out as TFDS lays out its own."""
