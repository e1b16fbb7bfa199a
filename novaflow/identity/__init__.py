"""Who may do what: passwords, tokens, roles and the service catalogue, as pure rules over values."""
