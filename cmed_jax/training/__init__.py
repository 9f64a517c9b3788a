"""The training step, its loop, its devices and its checkpoints."""
