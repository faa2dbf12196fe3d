"""Catalogues of other sites: a mapping file, the rows it makes of theirs, and one folder in the Unsplash layout."""
