"""The tracker: sessions opened from a program, and everything that is asked about their calls."""
