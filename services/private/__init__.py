"""Private brokers and databases, started on demand in a directory of their own."""
