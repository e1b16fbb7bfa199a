"""The processes: thin programs that wire the cloud to the bus, serve, and drain."""
