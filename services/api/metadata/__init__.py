"""The metadata service: what guests are told of themselves when they ask at 169.254.169.254."""
