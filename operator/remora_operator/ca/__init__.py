"""The room of the CA's mathematics: keys and certificates in, certificates out."""
