"""A measured pattern, prepared: background, lines, zero shift, and the network's grid."""
