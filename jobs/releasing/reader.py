"""Reading what is published: one release at a time, whole, checked, and followed when another is published.

Fresh counts of conversions since its night may lie beside it (`jobs.releasing.fresh_counts`); they are followed too.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from jobs.datasets.clean import HIDDEN_TABLE
from jobs.datasets.releases import ReleaseName
from jobs.embedding.exemplars import as_exemplars, exemplar_rows
from jobs.errors import BadInput, MissingInput, NightlensError
from jobs.evaluation.integers import microseconds
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.releasing import fresh_counts
from jobs.releasing.fresh_counts import CountsPointer
from jobs.releasing.published_pointer import Pointer, find_release, read_pointer
from jobs.reranking.saved import RERANKER_FILES, read_reranker
from models import ann
from models.indexing.files import DESCRIPTION_FILE as INDEX_DESCRIPTION
from models.rerank.live import DESCRIPTION_FILE, Asked, FoundPhoto, LiveSearch
from models.search.errors import ModelError
from models.search.identity import ModelIdentity

if TYPE_CHECKING:
    from models.recommend.live import LiveRecommender
    from models.search.completion import Exemplars
    from models.search.query_model import QueryModel

log = logging.getLogger("nightlens.reader")
RELEASE_FILE = "release.json"
OLDER_VERSION = "release_of_older_version"
"""The code of the error about a release that this version cannot read."""
MODEL, INDEX, SEARCH, RECOMMENDER = "model", "index", "search", "recommender"
UNUSABLE = OSError, ValueError, NightlensError, ModelError, ann.UnusableIndex
"""What `open_release` raises of a release that is gone, damaged, changed, or of another version."""
_TRIES = 100


@dataclass(frozen=True)
class OpenRelease:
    """A release that was read and checked as a whole. It stays usable when it is replaced, and when it is removed.

    `description` is release.json. `model`, `exemplars` and `recommender` are None where the reader was not told to open
    them. Opened with pictures the model is a `SearchModel`, and exemplars are what a picture without keywords is
    completed by; else it embeds queries only. `counts` says which fresh counts its search uses, None where it uses the
    release's own.
    """

    name: ReleaseName
    description: dict[str, Any]
    live: LiveSearch
    model: QueryModel | None
    exemplars: Exemplars | None
    recommender: LiveRecommender | None = None
    counts: CountsPointer | None = None

    @property
    def counts_until(self) -> datetime:
        """Until when the search knows conversions."""
        return datetime.fromisoformat(self.description["counts_until"]) if self.counts is None else self.counts.until

    def search(
        self,
        asked: Sequence[Asked],
        k: int,
        *,
        at: datetime | None = None,
        vectors: ann.Floats | None = None,
        with_reasons: bool = False,
    ) -> list[list[FoundPhoto]]:
        """Return the best k photos of each search by words, best first, by the whole search of the release.

        `at` is when they are made, by default the end of the release's night: only photos' ages depend on it, and one
        release then answers alike all day. Who embeds elsewhere gives the queries' unit vectors, float32 [B, D]
        by this release's model; without a model that is needed. `with_reasons` says of each photo why it is there.
        """
        if vectors is None:
            if self.model is None:
                raise ValueError("this release was opened without its model: give the searches' vectors")
            from models.serving import embed_queries  # loads torch

            vectors = embed_queries(self.model, [(one.words, one.country) for one in asked])
        cutoff = self.live.catalogue.tables.history.cutoff
        return self.live.search(asked, vectors, k, cutoff if at is None else microseconds(at), with_reasons)

    def similar(
        self, vector_QD: ann.Floats, k: int, countries: Sequence[str] | None = None
    ) -> list[list[tuple[str, float]]]:
        """Return per vector of this release's model the photos that are closest as (photo_id, score), best first.

        Photos that the site hid are left out, those hidden from a country where it is the query's (`countries`, one
        per query, "" if it is not known).
        """
        return self.live.index.search(vector_QD, k, self.live.visibility, countries)

    def recommend(
        self,
        histories: Sequence[Sequence[str]],
        k: int,
        *,
        countries: Sequence[str] | None = None,
        taken_at: Sequence[Sequence[datetime]] | None = None,
    ) -> list[list[tuple[str, float]]]:
        """Return per history the best k photos to show next as (photo_id, score), best first.

        A history is the photos that a visitor took, oldest first, and none is a visitor without a past; `taken_at` says
        when, by default one right after the other, and `countries` are the visitors', "" if not known. For what is left
        out, and whom popularity serves, see `models.recommend.live`. Raises `MissingInput` if the release has no
        recommender.
        """
        if self.recommender is None:
            check_recommender(self.name, self.description)
            raise ValueError("this release was opened without its recommender: say with_recommender=True")
        times = None if taken_at is None else [[at.timestamp() for at in one] for one in taken_at]
        return self.recommender.recommend(histories, k, countries, times)


class ReleaseReader:
    """Follows what is published. Threads may share one: `current` is always one whole release.

    Its search counts the conversions since its night as well, where `refresh_counts` has counted them. Counts that are
    damaged or gone are no error: a warning is logged once, and the release is served with its own, which the gate saw.

    With `with_model` what reads words is loaded too, for those who have queries rather than vectors. That is all of
    the model that `search` needs; it loads without open_clip, and embeds no pictures. With `with_pictures` the whole
    model and the exemplars are loaded, and with `with_recommender` what recommends.
    """

    def __init__(
        self, lake: Lake, with_model: bool = False, with_recommender: bool = False, with_pictures: bool = False
    ) -> None:
        """Open what is published now; `MissingInput` if nothing is, `BadInput` if it is not what was published."""
        self._lake = lake
        self._with = {"with_model": with_model, "with_recommender": with_recommender, "with_pictures": with_pictures}
        self._lock = threading.Lock()
        self.published, self._current, self._counts_said = self._follow()

    @property
    def current(self) -> OpenRelease:
        """The release last opened. Keep it for the whole of a request, so that nothing of it is another's."""
        return self._current

    def refresh(self) -> bool:
        """Open what is published now if that is another release or has other counts; tell whether it was.

        Costs two small reads if not. If the new release cannot be opened its error is raised and the old one stays.
        """
        with self._lock:
            pointer, (seen, _) = read_pointer(self._lake), self.published
            is_seen = pointer is not None and pointer.entry == seen.entry
            if is_seen and fresh_counts.said(self._lake) == self._counts_said:
                return False
            before = self._current
            self.published, self._current, self._counts_said = self._follow(keep=self.published[1])
            return (self._current.name, self._current.counts) != (before.name, before.counts)

    def _follow(self, keep: OpenRelease | None = None) -> tuple[tuple[Pointer, OpenRelease], OpenRelease, bytes | None]:
        """Return what is published, the same with its fresh counts, and what was said of these."""
        pointer, release = self._open(keep)
        for _ in range(_TRIES):
            said = fresh_counts.said(self._lake)
            try:
                return (pointer, release), _with_counts(self._lake, release, pointer.digest, said), said
            except UNUSABLE as error:
                if fresh_counts.said(self._lake) == said:  # else they were replaced and removed meanwhile
                    log.warning("the fresh counts of %s cannot be used, its own are: %s", release.name, error)
                    break
        return (pointer, release), release, said

    def _open(self, keep: OpenRelease | None = None) -> tuple[Pointer, OpenRelease]:
        """Open what the pointer names. What fails because it was replaced and removed meanwhile is not an error."""
        for _ in range(_TRIES):
            pointer = self._pointer()
            assert pointer.release is not None
            if keep is not None and keep.name == pointer.release:
                return pointer, keep
            try:
                return pointer, open_release(self._lake, pointer.release, pointer.digest, **self._with)
            except UNUSABLE as error:
                if read_pointer(self._lake) == pointer:
                    if getattr(error, "code", "") == OLDER_VERSION:
                        raise  # those before it are no newer
                    raise BadInput(
                        "unusable_release",
                        f"the published release {pointer.release} cannot be opened: {error}. Publish another: "
                        f"nightlens rollback --catalogue {self._lake.catalogue} --reason WHY",
                        release=str(pointer.release),
                    ) from error
        raise NightlensError(
            "pointer_keeps_changing",
            f"what is published below {self._lake.root} changed {_TRIES} times while it was opened",
            lake=str(self._lake.root),
        )

    def _pointer(self) -> Pointer:
        pointer = read_pointer(self._lake)
        if pointer is None or pointer.release is None:
            raise MissingInput(
                "nothing_published",
                f"no release is published below {self._lake.root}. Run a night, then promote its model: "
                f"nightlens promote --catalogue {self._lake.catalogue} --version N --reason WHY",
                lake=str(self._lake.root),
            )
        return pointer


def _with_counts(lake: Lake, release: OpenRelease, digest: str, said: bytes | None) -> OpenRelease:
    """Return a release with the fresh counts that are said to be current, or as it is if they are of another."""
    pointer = fresh_counts.parse(said)
    if pointer is None or (pointer.release, pointer.digest) != (release.name, digest):
        return release
    counts, catalogue = fresh_counts.open_counts(lake, pointer), release.live.catalogue
    if counts.history.photo_count != len(catalogue.ids):
        raise ValueError(f"{pointer.name} counts {counts.history.photo_count} photos, not {len(catalogue.ids)}")
    catalogue = replace(catalogue, tables=catalogue.tables.counting(counts))
    return replace(release, live=replace(release.live, catalogue=catalogue), counts=pointer)


def open_release(
    lake: Lake,
    name: ReleaseName,
    digest: str = "",
    with_model: bool = False,
    with_recommender: bool = False,
    with_pictures: bool = False,
) -> OpenRelease:
    """Read a release, published or not, and check that it is whole and belongs together.

    `digest`, if given, is that of its content; `ReleaseReader` says what is opened along. A release that has no
    recommender is opened without one. Raises `MissingInput` if it or a file of it is gone, `BadInput` if something was
    changed or model and index do not belong together, `models.ann.UnusableIndex` likewise.
    """
    lake.fs.invalidate_cache()  # an object store's listing may be older than the release
    manifest = find_release(lake, name)
    if manifest is None:
        raise MissingInput("no_such_release", f"the release {name} is not in {lake.root}", release=str(name))
    if digest and manifest.digest != digest:
        raise BadInput(
            "release_changed",
            f"{manifest.reference} is not what was published: its digest is {manifest.digest[:16]}",
            release=manifest.reference,
        )
    description = _description(lake, manifest)
    digests = description["model"]["digest"], description["index"]["model_digest"]
    if len(set(digests)) > 1:
        raise BadInput(
            "models_differ",
            f"{manifest.reference}: its model is {digests[0]}, its index is of model {digests[1]}",
            release=manifest.reference,
            models=digests,
        )
    if f"{SEARCH}/{DESCRIPTION_FILE}" not in manifest.files:
        raise BadInput(
            "release_of_older_version",
            f"{manifest.reference} was made by an earlier version of Nightlens, without the tables of its search. Run "
            f"that night again, or a later one, and promote what it makes.",
            release=manifest.reference,
        )
    described = description.get("recommender", {})
    with_recommender = with_recommender and bool(described.get("method"))
    with_model |= with_pictures
    _verify(lake, manifest, (f"{MODEL}/",) * with_model + (f"{RECOMMENDER}/",) * with_recommender)
    with lake.local_folder(manifest, INDEX) as folder:  # files that are mapped outlive a temporary folder
        index = ann.ShardedIndex.open(folder, digests[0])
    reranker = read_reranker(lake, manifest) if description["reranker"] else None
    with lake.local_folder(manifest, SEARCH) as folder:
        live = LiveSearch.open(folder, index, read_visibility(lake, manifest), reranker)
    model = _load_model(lake, manifest, digests[0], with_pictures) if with_model else None
    exemplars = as_exemplars(exemplar_rows(lake, manifest), model.dim) if model and with_pictures else None
    recommender = _open_recommender(lake, manifest, described, live) if with_recommender else None
    return OpenRelease(name, description, live, model, exemplars, recommender)


def check_recommender(name: ReleaseName, description: dict[str, Any]) -> None:
    """Raise `MissingInput` that says why if a release, of which this is release.json, has no recommender."""
    described = description.get("recommender")
    if described is None:
        raise MissingInput(
            "no_released_recommender",
            f"the release {name} was made by an earlier version of Nightlens, without a recommender. Run that night "
            f"again, or a later one, and promote what it makes.",
            release=str(name),
        )
    if described["note"]:
        raise MissingInput(
            "no_released_recommender",
            f"the release {name} has no recommender ({described['note']}). Run evaluate_recommenders and make_release "
            f"of that night again, with popularity among the methods, and promote what they make.",
            release=str(name),
        )


def _open_recommender(lake: Lake, manifest: Manifest, described: dict[str, Any], live: LiveSearch) -> LiveRecommender:
    from jobs.recommending.released import open_recommender  # loads torch
    from models.recommend.live import ShownPhotos

    shown = ShownPhotos(live.catalogue.names, live.catalogue.ids, live.catalogue.pictures)
    return open_recommender(lake, manifest, described, shown, live.visibility)


def read_visibility(lake: Lake, manifest: Manifest) -> ann.Visibility:
    """Return which photos a run's table of hidden photos says must not be shown."""
    hidden = lake.read_table(manifest, HIDDEN_TABLE.name, ["photo_id", "country"])
    by_country = {
        str(country): rows["photo_id"].to_list()
        for (country,), rows in hidden.drop_nulls("country").partition_by("country", as_dict=True).items()
    }
    return ann.Visibility.of(hidden.filter(hidden["country"].is_null())["photo_id"], by_country)


def _load_model(lake: Lake, manifest: Manifest, digest: str, with_pictures: bool) -> QueryModel:
    """Return the model, without pictures only the half of it that reads words."""
    from models.search.query_model import QueryModel  # loads torch, which those with vectors can do without

    kind = QueryModel
    if with_pictures:
        from models.search.model import SearchModel  # loads open_clip, which those with words can do without

        kind = SearchModel
    with lake.local_folder(manifest, MODEL) as folder:
        identity = ModelIdentity.read(folder)  # `load` holds the weights against it
        model = kind.load(folder)
    if identity.digest != digest:
        raise BadInput(
            "model_changed",
            f"{manifest.reference}: its model's digest is {identity.digest}, {digest} was released",
            release=manifest.reference,
        )
    return model


def _description(lake: Lake, manifest: Manifest) -> dict[str, Any]:
    if RELEASE_FILE not in manifest.files:
        raise BadInput(
            "not_a_release", f"{manifest.reference} has no {RELEASE_FILE}: it is no release", release=manifest.reference
        )
    lake.verify(manifest.files[RELEASE_FILE])
    description: dict[str, Any] = json.loads(lake.read_file(manifest, RELEASE_FILE))
    return description


def _verify(lake: Lake, manifest: Manifest, also: tuple[str, ...]) -> None:
    """Check what nobody else checks: the shards are held against index.json by the index itself."""
    for name, info in manifest.files.items():
        if name.startswith((f"{INDEX}/{INDEX_DESCRIPTION}", f"{SEARCH}/", RERANKER_FILES, *also)):
            lake.verify(info)
    for table in ("ids", HIDDEN_TABLE.name):
        for info in manifest.tables[table].files:
            lake.verify(info)
