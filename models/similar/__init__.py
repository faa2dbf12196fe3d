"""Which photos are like a photo: pictures that are the same, what may be shown, what counts as alike, and how to rank.

Arrays in, arrays out. Where vectors, logs and pictures come from is the caller's affair.
"""
