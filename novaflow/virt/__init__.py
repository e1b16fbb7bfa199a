"""The compute host's hands: the driver's contract, its two drivers, and what they are made of."""
