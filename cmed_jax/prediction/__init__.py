"""The prediction of densities from patterns: options, queries, results and diagnostics."""
