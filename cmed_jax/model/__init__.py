"""The network: pattern and composition to a latent, latent and voxel query to a density."""
