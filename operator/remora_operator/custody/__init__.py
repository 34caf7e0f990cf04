"""The room that keeps keys and trust in the cluster: Secrets, ConfigMaps, `caBundle`, our own TLS.

What is decided stands in the pure room `ca`; here it is read from the API server and written back.
"""
