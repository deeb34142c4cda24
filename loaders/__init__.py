"""How do bytes become arrays, safely?

A source fetches an artifact into the store; a capped child (`loaders.child`) reads it as data, not as code, and streams
its arrays into a segment of shared memory; the parent seals, checks and maps that segment. Nothing in this room imports
`service` or `training`; only `loaders.child` imports the `pack` modules of `models`.
"""
