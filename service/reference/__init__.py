"""How is the surface shown to people? The same tables that the program runs on, as the page at /docs and as docs/reference.

Everything here is a pure function: of the argument parser, or of the OpenAPI document. `python -m service.reference.writing`
writes the pages of docs/reference that come from them.
"""
