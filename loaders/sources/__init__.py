"""Where artifacts come from: one file a source, and the scheme table that chooses it.

A source is stateless: `probe` says what is current, `fetch` brings it. See `loaders.sources.base` for the interface.
"""
