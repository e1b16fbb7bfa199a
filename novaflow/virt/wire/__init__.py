"""The wire between a guest and its compute host: the frames of the one address that the host answers on, 169.254.169.254."""
