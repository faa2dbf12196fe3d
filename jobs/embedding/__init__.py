"""Embedding photos and queries, on Spark's workers, into a store that outlives the night."""
