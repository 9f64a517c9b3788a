"""Measured powder patterns: background, lines, zero shift, and the network's input."""
