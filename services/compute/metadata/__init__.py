"""The guests' way to the metadata service: what a guest asks of 169.254.169.254 comes to its compute host by its own wire."""
