"""Keystone's API v3, one file per resource."""
