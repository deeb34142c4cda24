"""How do bytes become arrays, safely?

A source fetches an artifact into the store; a capped child (`loaders.child`) reads it as data, not as code, and streams
its arrays into a segment of shared memory; the parent seals, checks and maps that segment. Nothing in this room imports
`service` or `training`; only the child's half (`loaders.reading`) imports `models.packing` and the `pack` modules behind it.
"""
