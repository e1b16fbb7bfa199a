"""What the front doors call, one file per noun: rights, guards, quota, record, order."""
