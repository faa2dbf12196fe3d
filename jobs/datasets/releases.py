"""What may go live, and the gate's verdict on it."""

from __future__ import annotations

from jobs.datasets.clean import HIDDEN_TABLE
from jobs.datasets.embeddings import _EXEMPLAR, EXEMPLARS
from jobs.datasets.indexes import PHOTO_INDEX
from jobs.datasets.schema import STR, Dataset, Table, schema

RELEASE = Dataset(
    "release",
    "releases",
    (*PHOTO_INDEX.tables, HIDDEN_TABLE, Table(EXEMPLARS, schema(**_EXEMPLAR), may_be_empty=True)),
)
"""What is published as one: model, index, id map, keyword vocabulary, config, and which photos must not be shown. All
but release.json and the exemplars, by which a picture without keywords is searched with, are links.

Files: release.json (what belongs together, with digests), model/** (a SearchModel folder, its config and keyword
vocabulary among it), index/** (the FAISS shards). Facts: version, model_digest, arm.
"""


GATE = Dataset(
    "gate", "releases", (Table("findings", schema(check=STR, outcome=STR, figure=STR, limit=STR, reason=STR)),)
)
"""Whether a night's candidate may go live. Facts: outcome (pass | fail | inconclusive), sentence, release (run_date,
run_id, version), figures, latency_p50_milliseconds, latency_p99_milliseconds.
"""
