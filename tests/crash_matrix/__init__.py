"""Every action of a server x every process killed x every step of the way: `python -m tests.crash_matrix`, or `make crash-matrix`.

A volley is one kill. Its leader is a case that was planned: the victim dies when the leader's server is first seen at the planned point.
Other servers ride along, ordered at moments that dice choose, and count as cases of whatever point they were caught at. After each
volley everything settles, and nothing may be stuck, double, left over or counted wrong; then all its servers are deleted, and nothing
may be left at all.

The way of a server is its task_states, that of a volume or a snapshot its statuses (`storage`).
"""
