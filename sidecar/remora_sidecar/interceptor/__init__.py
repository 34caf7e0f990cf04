"""The interceptor: mitmproxy's connection layers up to the hand-off of decrypted bytes.

The only room that knows mitmproxy. It never parses the HTTP of an LLM call.
"""
