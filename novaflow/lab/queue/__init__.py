"""Message queues measured: contestants, interleaved rounds, figures, a report, and what a killed broker loses."""
