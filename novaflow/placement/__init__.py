"""Which host gets a server: filters refuse with a reason, weighers prefer, `choose` decides. All of it is pure.

`Ranking` keeps the hosts in order, so that deciding does not mean looking at all of them. To teach the scheduler a new rule, write it
in rules/ and name it in filters.py; the configuration turns it on (`scheduler.filters`).
"""
