"""What does the world see?

The only room that imports aiohttp.web. `service.app` is the one place where the objects meet; `service.lifecycle` knows
what state each model is in and what must happen next, and imports neither aiohttp nor numpy.
"""
