"""What a scheduler's decision costs: a made-up fleet, the decision as it is and as a straightforward loop, and figures of both."""
