"""A local web page that predicts densities from patterns without the command line."""
