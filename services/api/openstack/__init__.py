"""The OpenStack Compute API, one file per resource with its view beside it."""
