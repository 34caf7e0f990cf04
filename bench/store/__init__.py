"""What the aggregator takes in and answers, and what that costs."""
