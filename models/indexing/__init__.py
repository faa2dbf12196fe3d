"""Building an index of photo vectors: ids, shards, kinds, filling, measuring. Searching one is `models.ann`."""
