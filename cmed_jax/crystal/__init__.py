"""Materials: where they come from, their canonical cell, their composition."""
