"""The rules of nova/scheduler/filters, one module per kind; novaflow.placement.filters names them."""
