"""Training: the step, its loop, its devices and its checkpoints."""
