"""nova-compute: builds guests on a hypervisor, switches them on and off, and tells the conductor what became of them."""
