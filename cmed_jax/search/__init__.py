"""The search for a structure without a known crystal: from lines and a cell to atoms."""
