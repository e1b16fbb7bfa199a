"""The laboratory: instruments that drive a running cloud from outside and read what it recorded."""
