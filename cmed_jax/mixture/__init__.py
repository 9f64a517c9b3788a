"""The network and refined crystals, weighed by a gate."""
