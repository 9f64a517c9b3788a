"""A mixture of experts: a gate that weighs a network against refined crystals, and its training."""
