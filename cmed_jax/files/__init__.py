"""Measured patterns in, densities out."""
