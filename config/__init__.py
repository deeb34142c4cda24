"""What did the operator ask for?

One declaration (`config.schema`) gives the parsing, the environment names, `--help` and the reference page;
`config.load` merges command line > environment > `.env` > file > default and reports every problem at once.
Imports nothing of Holdfast: every other room may import this one.
"""
