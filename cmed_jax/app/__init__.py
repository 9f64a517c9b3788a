"""A local page for people who do not type: a pattern in, a density out."""
