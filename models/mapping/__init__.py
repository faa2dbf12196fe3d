"""How the photos lie: a map of their vectors in the plane, the clusters they form, and the words that tell those apart.

What does not belong here: where vectors come from, and how any of it is drawn.
"""
