"""Programs compiled ahead of time for TPUs and GPUs, on a machine that has none."""
