"""Every dataset of the lake, declared once: name, layer, tables and their schemas, by subject.

A dataset is what one stage commits under one manifest: a few tables (Parquet) and a few files (models, indexes,
reports). Stages meet only here. No path is spelled in this room; `jobs.lake` makes them.
"""
