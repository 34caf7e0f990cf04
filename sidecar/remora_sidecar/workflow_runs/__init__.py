"""Runs of workflows: models are asked, time is kept, and all of it outlives the process."""
