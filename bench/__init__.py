"""How fast, how small, how calm? Programs that measure; nothing here is imported by the server."""
