"""The aggregator: stores the fleet's records and answers questions about them."""
