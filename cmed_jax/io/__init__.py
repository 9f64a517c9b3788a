"""Bytes and files: measured patterns, densities, released networks, and what keeps them whole."""
