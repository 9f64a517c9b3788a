"""Metrics, baselines, controls, and the evaluation protocol of every reported figure."""
