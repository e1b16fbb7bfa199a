"""Both doors of a cloud measured side by side, and beside a server that keeps instances in a dictionary."""
