"""Tasks, and the budgets that pods draw on together. Pure, but for `memory_store`."""
