"""Model files for tests: honest ones made with the real libraries, and hostile ones made byte by byte.

    recommenders.py   implicit models bare and in the ALS dict, and implicit's own answers to compare with
    nmf.py            the collaborative dict around a fitted sklearn NMF
    svd.py            the dict around a fitted sklearn TruncatedSVD, with encoders of every kind
    lightfm.py        LightFM's exact object layout, bare and with feature matrices, and its formula
    trees.py          tree ensembles of sklearn of every kind, rows for them, and sklearn's answers
    linear.py         linear models of sklearn, bare and behind transformers, rows for them, and sklearn's answers
    ids.py            id tables of every kind
    writing.py        every format a model file comes in
    hostile/          files that must fail, each with the failure types it may end in

Nothing here loads a hostile file. Everything is small, deterministic and cached in the process.
"""
