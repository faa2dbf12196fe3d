"""Trying a search by hand: what is asked, in which releases, what they found, and how it is shown on a terminal."""
