"""Trees: decision trees and their ensembles, answered from node arrays.

layout.py      what the arrays of a bundle are, known to both halves
pack.py        which artifacts are taken, and how an estimator's parts go together (child)
growing.py     trees of records into the one set of node arrays (child)
averaged.py    DecisionTree, ExtraTree, RandomForest, ExtraTrees (child)
boosted.py     GradientBoosting (child)
histogram.py   HistGradientBoosting, with its categories (child)
walking.py     rows through all trees at once (server)
categories.py  categorical values into the answers of those splits (server)
outputs.py     sums over trees into labels, probabilities and values (server)
score.py       the scorer (server)
"""
