"""Evaluation of rankings: metrics, exact ranks, intervals, counting and keyword baselines. Pure functions."""
