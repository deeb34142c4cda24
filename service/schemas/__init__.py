"""What do the JSON documents of the API look like? As types, one file a subject, from which their schemas are made.

The types describe; answers are built where their facts are, and the contract tests hold each answer against its type.
"""
