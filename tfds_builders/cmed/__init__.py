"""The dataset of powder patterns and electron densities, in the layout of TFDS."""
