"""The room of tasks and budget leases; empty until the TaskService is built."""
