"""Recommendation from a visitor's history: what a visitor might take next, without a query. Pure functions.

interactions (the log and what is known of photos), interface (what every method is), topk and diversity (from scores
to lists), one module per method, training (what the trained ones share), methods (their names).
"""
