"""Powder diffraction and electron density of a crystal: form factors to patterns and maps."""
