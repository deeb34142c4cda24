"""What the tests of failures share: a healthy model that is asked all the while, how a failure looks over HTTP, what may be left.

steady.py      asks the healthy model without a pause and keeps every answer
endings.py     what 202 and 503 must say, for a failure type
leftovers.py   what is in a store that no record names, and which processes a server has
stepping.py    lets a loading child run in small steps, to stop it in the phase that is wanted
small_disk.py  the program on a disk of a few megabytes
"""
