"""The bus: typed calls, casts and fanouts over a message broker. It knows nothing of Nova."""
