"""Where do new artifacts come from?

    dataset/      what is known: interactions, items, features; from PostgreSQL, SQLite or CSV       (child)
    trainers/     TRAINERS: one file an algorithm, dataset in, bundle out                            (child)
    split.py metrics.py                what is kept from training; how good a ranking is               (child)
    opened.py evaluate.py trial.py     a version asked as it serves; beside popularity and what serves (child)
    gate.py       whether a candidate may serve: pure, a verdict and never an exception
    plan.py telling.py   what a run's process is told, and what it tells
    child.py steps.py    one run under its cap: dataset -> split -> fit -> evaluate -> gate -> staged version
    runner.py     the asyncio half: which run when, its child, its record, publishing               (no numpy)
    journal.py    the runs, in SQLite      lock.py  one run a training      schedule.py  when (pure)
    publish.py    a staged version becomes the one that serves; rolling back, pinning, pruning
    export.py     a published version in the shape that other tools read
    ingest/       what users do, as it happens

Nothing here that a server imports imports numpy's friends: what is marked (child) runs in the capped process.
"""
