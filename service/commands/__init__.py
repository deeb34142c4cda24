"""The words of the command line, one file each: `add_parser` declares one, `run` does it and returns the exit code.

Heavy imports stand inside `run`, so that `holdfast --help` and `holdfast status` stay quick.
"""
