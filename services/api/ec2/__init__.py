"""The EC2 API: Amazon's query protocol over the same operations that the OpenStack API calls."""
