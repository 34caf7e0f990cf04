"""What Kalibr's published clients ask, over their own paths (docs/kalibr.md)."""
