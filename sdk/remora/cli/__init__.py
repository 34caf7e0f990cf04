"""The `remora` command: finds each part's commands by entry point and imports none of the parts."""
