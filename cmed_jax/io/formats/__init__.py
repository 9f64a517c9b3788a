"""Readers of instrument files."""
