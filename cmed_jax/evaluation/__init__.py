"""Metrics, the protocol of every reported figure, baselines, and the report."""
