"""How bytes become values: events, lines, arrays, frames, forms and content codings, sans-io."""
