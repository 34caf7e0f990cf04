"""What the aggregator answers over HTTP: records and sums as JSON, probes, metrics, sign-in."""
