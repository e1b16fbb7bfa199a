"""Images: what they are, who may do what with them, what their bytes really are, and where the bytes are kept."""
