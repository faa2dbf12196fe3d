"""The nightly report: what is shown (view models, one module per subject), how it is drawn (charts, template, style).

Pure apart from `night.py`, which reads the lake: views are made from frames and facts, pages from views. Nothing
here computes a metric; every figure was committed by an earlier stage.
"""
