"""The tests mirror the rooms.

unit: no I/O · integration: a real child, real servers · acceptance: HTTP from outside · contracts: suites that every
entry of a table passes.
"""
