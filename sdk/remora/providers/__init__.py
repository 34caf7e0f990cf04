"""Who serves LLM calls: hosts, ports, dialects, auth schemes, as data.

The interceptor asks which hosts to terminate, the engine which provider a host is.
"""
