"""Where do new artifacts come from?

    dataset/      what is known: interactions, items, features; from PostgreSQL, SQLite or CSV            (child)
    trainers/     TRAINERS: one file an algorithm, data set in, bundle out                                (child)
    judging/      what is kept from training, how good a ranking is, and whether it may serve             (child; the gate is pure)
    running/      who trains and when, the process of a run and its steps, the journal of runs
    versions/     a staged version becomes the one that serves; rolling back, pruning, exporting
    ingest/       what users do, as it happens
    made_up/      data whose truth is known: of the demo, the benches, the tests
    demo.py       the trainings of `holdfast demo`

Nothing here that a server imports imports numpy's friends: what is marked (child) runs in the capped process.
"""
