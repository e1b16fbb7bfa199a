"""nova-api: the front doors through which clients reach the cloud."""
