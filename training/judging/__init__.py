"""How good is what was trained? What is held out of training, rankings over the whole catalogue, and whether that is good enough.

    split.py     what is kept from training, and on what ground two versions can meet
    metrics.py evaluate.py opened.py    a version's own file, ranked as an answer is
    trial.py     candidate, champion and the most popular items        (child)
    gate.py verdict.py    pure: figures in, a verdict out, never an exception

But for the gate and its verdict, capped child only.
"""
