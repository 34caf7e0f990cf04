"""The response cache: which calls are the same, what may be kept, and where it is kept.

`key` and `rules` are pure and decide; `memory`, `disk` and `shared` keep; `levels` puts them
together. The engine above asks `before` a call, looks up by `cache_key`, and puts what `after`
allows.
"""
