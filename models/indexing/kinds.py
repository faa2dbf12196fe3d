"""The kinds of index there are, what each costs and finds, and which one suits a corpus.

flat compares a query with every photo. ivf_flat looks into the lists of the centroids nearest to the query (Sivic and
Zisserman, 2003). ivf_pq keeps in them codes of a product quantizer (Jegou et al., 2011), opq_ivf_pq after a rotation
that suits it (Ge et al., 2013). hnsw walks a graph of neighbours (Malkov and Yashunin, 2018). lsh compares bits, each
the side of a random hyperplane that a vector lies on (Charikar, 2002).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["flat", "ivf_flat", "ivf_pq", "opq_ivf_pq", "hnsw", "lsh"]
KINDS: tuple[Kind, ...] = get_args(Kind)

FLAT_BELOW = 100_000
"""Up to so many photos "auto" compares a query with every one."""
POINTS_PER_LIST = 39, 64  # FAISS warns below 39 training points a list; more than 64 only cost time
HNSW_LINKS = 32
EF_SEARCH = 64  # candidates that a search of a graph keeps
_ID_BYTES = 8
_USUAL_RECALL: dict[Kind, float] = {
    "flat": 1.0,
    "hnsw": 0.98,
    "ivf_flat": 0.95,
    "opq_ivf_pq": 0.8,
    "ivf_pq": 0.75,
    "lsh": 0.5,
}
"""Recall@10 with the default settings, as a rule of thumb: `verify_index` measures what it really is."""
_PREFERRED: tuple[Kind, ...] = ("ivf_flat", "hnsw", "opq_ivf_pq", "ivf_pq", "lsh")
"""Of those that fit and find enough the first is taken: hnsw takes eight times as long to build as ivf_flat."""


@dataclass(frozen=True)
class Choice:
    """A kind of index and, in words, why it is the one."""

    kind: Kind
    reason: str


@dataclass(frozen=True)
class Recipe:
    """All that decides what the shards of an index hold beside the photos; None where the kind has no such thing.

    nlist: lists of every shard. code_bytes and code_bits: sub-quantizers of a product quantizer and bits of each.
    links: neighbours of a photo in the graph. hash_bits: bits of LSH.
    """

    kind: Kind
    dim: int
    nlist: int | None = None
    code_bytes: int | None = None
    code_bits: int | None = None
    links: int | None = None
    hash_bits: int | None = None

    @property
    def is_trained(self) -> bool:
        """Whether a quantizer is to be learned from a sample first."""
        return self.nlist is not None

    @property
    def training_count(self) -> int:
        """Photos that the quantizer is learned from, at most; 0 if there is none."""
        lists = (self.nlist or 0) * POINTS_PER_LIST[1]
        codes = 2**self.code_bits * POINTS_PER_LIST[1] if self.code_bits else 0
        return max(lists, codes, fewest_photos(self.kind, self.dim)) if self.is_trained else 0


def fewest_photos(kind: Kind, dim: int) -> int:
    """Return how many photos a kind learns from at least: FAISS fails on fewer, or ends the process.

    >>> {kind: fewest_photos(kind, 64) for kind in KINDS}
    {'flat': 1, 'ivf_flat': 1, 'ivf_pq': 2, 'opq_ivf_pq': 64, 'hnsw': 1, 'lsh': 1}
    """
    return {"ivf_pq": 2, "opq_ivf_pq": max(2, dim)}.get(kind, 1)


def bytes_per_vector(kind: Kind, dim: int, code_bytes: int | None = None, links: int = HNSW_LINKS) -> int:
    """Return the bytes that a photo takes in an index of this kind, its id included, its name not.

    >>> {kind: bytes_per_vector(kind, 256) for kind in KINDS}
    {'flat': 1032, 'ivf_flat': 1032, 'ivf_pq': 136, 'opq_ivf_pq': 136, 'hnsw': 1314, 'lsh': 136}
    """
    if kind in ("ivf_pq", "opq_ivf_pq"):
        return code_bytes_for(dim, code_bytes) + _ID_BYTES
    if kind == "lsh":
        return hash_bits_for(dim) // 8 + _ID_BYTES
    graph = math.ceil(1.1 * 2 * links * 4) if kind == "hnsw" else 0  # the levels above the lowest have a tenth of it
    return 4 * dim + graph + _ID_BYTES


def choose_kind(
    photo_count: int,
    dim: int,
    *,
    max_index_bytes: int | None = None,
    min_recall: float = 0.9,
    code_bytes: int | None = None,
) -> Choice:
    """Return the kind for a corpus: exact if that is quick, else what fits into memory and finds enough.

    `max_index_bytes` is what the shards together may take (no limit if None), `min_recall` the share of the ten
    best photos that is to be found. Where nothing does both, it is what finds most of those that fit; where nothing
    fits, what takes least. Kinds that need more photos to learn from are left out.

    >>> choose_kind(25_000, 256).kind, choose_kind(3_000_000, 256).kind
    ('flat', 'ivf_flat')
    >>> choose_kind(3_000_000, 256, max_index_bytes=2 * 10**9).kind
    'opq_ivf_pq'
    """
    learnable = [kind for kind in KINDS if photo_count >= fewest_photos(kind, dim)]
    size = {kind: photo_count * bytes_per_vector(kind, dim, code_bytes) for kind in KINDS}
    fits = [kind for kind in learnable if max_index_bytes is None or size[kind] <= max_index_bytes]
    photos = f"{photo_count:,} photos"
    if "flat" in fits:
        if photo_count < FLAT_BELOW:
            return Choice("flat", f"{photos}, fewer than {FLAT_BELOW:,}: comparing with every one is quick, and exact")
        if min_recall > max(_USUAL_RECALL[kind] for kind in _PREFERRED):
            return Choice("flat", f"{photos}; only comparing with every one is sure to find {min_recall:.1%}")
    too_large = [f"{kind} ({_gb(size[kind])})" for kind in ("ivf_flat", "hnsw") if kind not in fits]
    start = f"{photos}; {' and '.join(too_large)} do not fit into {_gb(max_index_bytes or 0)}" if too_large else photos
    if not fits:
        least = min((kind for kind in _PREFERRED if kind in learnable), key=lambda kind: size[kind])
        return Choice(least, f"{start}, nor does any other; {least} takes least, {_gb(size[least])}")
    usable = [kind for kind in _PREFERRED if kind in fits]
    enough = [kind for kind in usable if _USUAL_RECALL[kind] >= min_recall]
    if enough:
        found = f"usually finds {_USUAL_RECALL[enough[0]]:.0%} of the ten best"
        return Choice(
            enough[0], f"{start}; {enough[0]} takes {_gb(size[enough[0]])} and {found}, wanted are {min_recall:.0%}"
        )
    best = max(usable, key=lambda kind: _USUAL_RECALL[kind])
    return Choice(
        best, f"{start}; none that does usually finds {min_recall:.0%}; {best} most, {_USUAL_RECALL[best]:.0%}"
    )


def asked_kind(kind: Kind, dim: int, sample_count: int) -> Choice:
    """Return the kind that was asked for, or flat where a sample of `sample_count` photos is too few for it.

    >>> asked_kind("opq_ivf_pq", 64, 60)
    Choice(kind='flat', reason='opq_ivf_pq was asked for, but it learns from 64 photos at least, and here from 60')
    """
    fewest = fewest_photos(kind, dim)
    if sample_count >= fewest:
        return Choice(kind, "asked for by the parameter kind")
    return Choice(
        "flat", f"{kind} was asked for, but it learns from {fewest:,} photos at least, and here from {sample_count:,}"
    )


def _gb(byte_count: int) -> str:
    return f"{byte_count / 1e9:.1f} GB"


def recipe_for(
    kind: Kind, dim: int, shard_photo_count: int, sample_count: int, *, code_bytes: int | None = None
) -> Recipe:
    """Return the recipe of an index whose shards hold so many photos, with a sample of `sample_count` to learn from.

    Fewer photos than a quantizer needs make it coarser: there are fewer lists, and codes of fewer bits.
    """
    if kind == "hnsw":
        return Recipe(kind, dim, links=HNSW_LINKS)
    if kind == "lsh":
        return Recipe(kind, dim, hash_bits=hash_bits_for(dim))
    if kind == "flat":
        return Recipe(kind, dim)
    nlist = min(list_count_for(shard_photo_count), max(1, sample_count // POINTS_PER_LIST[0]))
    if kind == "ivf_flat":
        return Recipe(kind, dim, nlist=nlist)
    bits = max(1, min(8, int(math.log2(max(2, sample_count // POINTS_PER_LIST[0])))))
    return Recipe(kind, dim, nlist=nlist, code_bytes=code_bytes_for(dim, code_bytes), code_bits=bits)


def list_count_for(photo_count: int) -> int:
    """Return nlist of a shard that holds so many photos: about four times the square root.

    >>> [list_count_for(count) for count in (10, 1_000, 100_000, 1_000_000)]
    [1, 25, 1265, 4000]
    """
    return max(1, min(round(4 * math.sqrt(photo_count)), photo_count // POINTS_PER_LIST[0]))


def probe_count_for(nlist: int) -> int:
    """Return how many lists are searched by default: a sixteenth, at least eight.

    >>> [probe_count_for(nlist) for nlist in (1, 25, 4000)]
    [1, 8, 250]
    """
    return min(nlist, max(8, nlist // 16))


def code_bytes_for(dim: int, asked: int | None = None) -> int:
    """Return the sub-quantizers of a product quantizer: the most that divide `dim` and are not above `asked`.

    Without `asked` it is half the dimensions: a code of an eighth of the vector's bytes.

    >>> code_bytes_for(256), code_bytes_for(100, 32), code_bytes_for(7)
    (128, 25, 1)
    """
    limit = max(1, min(dim, dim // 2 if asked is None else asked))
    return next(number for number in range(limit, 0, -1) if dim % number == 0)


def hash_bits_for(dim: int) -> int:
    """Return the bits of LSH: four per dimension, whole bytes.

    >>> hash_bits_for(256), hash_bits_for(7)
    (1024, 32)
    """
    return 8 * math.ceil(4 * dim / 8)
