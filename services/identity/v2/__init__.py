"""Keystone's API v2.0 as of Icehouse, one file per resource. It knows the default domain only."""
