"""The spool: records wait here, durably, until the aggregator has acknowledged them."""
