"""The second stage of a search: candidates of one arm, reordered by a small tree model. Pure functions.

candidates (who is reordered), history (what the log says as of a cutoff), features (one row per candidate),
rows (the three together, block by block), learning (LambdaRank), ordering (final scores).
"""
