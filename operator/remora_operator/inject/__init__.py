"""The room of injection: a pure function from a pod to a patch."""
