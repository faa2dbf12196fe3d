"""The nightly report: what each section shows (one module per subject), and how it is drawn (charts, templates, style).

Sections take rows and facts of the night as they are; the templates spell them with the filters of `formats` and hold
the prose, and `names.toml` has the names of arms and the like. Nothing here computes a metric; every figure was
committed by an earlier stage.
"""
