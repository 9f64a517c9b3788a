"""Reading and writing of files: measured patterns, densities and released networks."""
