"""The networks: from pattern and composition to a latent, from latent and voxel to a density."""
