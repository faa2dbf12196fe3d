"""The lake: immutable runs of datasets, on a local folder or an object store. Only this room joins its paths."""
