"""The libvirt driver, and the only place that imports the binding.

`driver` is what a compute host calls; `connection` shares one libvirt among a process's hosts; `domains` is what libvirt is
asked, blocking; `embed` prepares the libvirt that runs inside this process, and `reaper` buries its dead.
"""
