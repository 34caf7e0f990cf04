"""How the classifier of users' messages is trained and judged; not part of the wheel."""
