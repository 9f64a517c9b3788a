"""From a pattern to a density, a cell, and an assessment."""
