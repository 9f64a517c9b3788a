"""Measured patterns in, densities out."""

from cmed_jax.files.measured import MeasuredPattern, load_pattern

__all__ = ["MeasuredPattern", "load_pattern"]
