"""Which host gets a server: filters refuse with a reason, weighers prefer, `choose` decides. All of it is pure.

To teach the scheduler a new rule, write a function in filters.py and name it in `FILTERS`; the configuration
turns it on (`scheduler.filters`).
"""
