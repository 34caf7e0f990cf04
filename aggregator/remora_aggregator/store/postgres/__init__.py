"""The store in PostgreSQL, which any number of aggregators share."""
