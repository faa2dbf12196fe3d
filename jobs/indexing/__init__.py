"""The work of `build_index` and `verify_index`: the corpus in blocks, filling, taking over, comparing kinds."""
