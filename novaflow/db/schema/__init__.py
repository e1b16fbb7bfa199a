"""Every table of the cloud, on one MetaData: one module per part of the cloud."""
