"""The room of the controllers of the policy custom resources."""
