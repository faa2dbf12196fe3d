"""Evaluation of rankings: metrics, exact ranks, intervals, counting and keyword baselines. Pure functions.

metrics tells whether lists are right, beyond_accuracy what else they are like.
"""
