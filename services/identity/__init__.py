"""The identity service: Keystone's v3 and v2.0 over HTTP."""
