"""How learned routing does: simulations, replays of published tables, and what a decision costs."""
