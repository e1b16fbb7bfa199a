"""The cloud: what is true and what is allowed. The processes are in `services`, the bus is in `rpc`."""

__version__ = "0.1.0"
