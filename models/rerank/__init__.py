"""The second stage of a search: candidates of one arm, reordered by a small tree model. Pure functions.

candidates (who is reordered), history (what the log says as of a cutoff), features (one row per candidate),
learning (LambdaRank), ordering (final ranks, business filters).
"""
