"""Servers that play the outside world, over real sockets: each an async context manager, and a program of its own.

As a program (`python -m tests.doubles.drive --file ID=model.pkl`) each prints one line of JSON (its addresses, and `env`, the
variables that lead a client to it) and serves until its standard input ends or it is terminated.
"""
