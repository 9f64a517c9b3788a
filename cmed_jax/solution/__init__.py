"""Structures from powder lines: a search for atoms that needs no known crystal."""
