"""Where do new artifacts come from?

    dataset/      what is known: interactions, items, features; from PostgreSQL, SQLite or CSV       (child)
    trainers/     TRAINERS: one file an algorithm, dataset in, bundle out                            (child)
    split.py evaluate.py metrics.py    what is kept from training, and how a model does on it        (child)
    gate.py       whether a candidate may serve: pure, a verdict and never an exception
    child.py steps.py    one run under its cap: dataset -> split -> fit -> evaluate -> gate -> staged version
    runner.py     the asyncio half: which run when, its child, its record, publishing               (no numpy)
    journal.py    the runs, in SQLite      lock.py  one run a training      schedule.py  when (pure)
    publish.py    a staged version becomes the one that serves; rolling back, pinning, pruning
    export.py     a published version in the shape that other tools read
    ingest/       what users do, as it happens

Nothing here that a server imports imports numpy's friends: what is marked (child) runs in the capped process.
"""
