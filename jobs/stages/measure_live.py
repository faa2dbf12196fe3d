"""Stage `measure_live`: how the release that was live answers the searches of the log's last day.

It was made before that day began, so it cannot know it, however the log is cut and whatever leaks: before anything is
trained tonight, every search is put to the published release itself, opened as a site opens it. Which release that is
says the promotion ledger, as of this night: a past night that is recomputed meets the release it met. The searches are
those of the splits, in which a repeated conversion of one window is one, on the first of its days. That nothing can be
measured is a result, with its reason.
"""

from __future__ import annotations

import logging
from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobs.config.params.evaluation import MeasureLiveParams
from jobs.context import Chosen, Inputs, RunContext
from jobs.datasets.features import SplitsFacts
from jobs.datasets.releases import LiveDayFacts, LiveFigures
from jobs.evaluation.integers import integers
from jobs.evaluation.ranking_task import of_some_visitors
from jobs.evaluation.verdict import CUTOFF, METRIC
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.lake.staged_run import StagedRun
from jobs.releasing.ledger import Ledger, State, as_of
from jobs.releasing.published_pointer import read_pointer
from jobs.releasing.reader import UNUSABLE, OpenRelease, open_release
from jobs.runtime.progress import Progress
from models.evaluation.metrics import CUTOFFS, columns
from models.evaluation.scorecard import Scorecard
from models.evaluation.statistics import Clusters
from models.rerank.live import Asked

log = logging.getLogger("nightlens.measure_live")

_ASKED = ("query", "country", "device_type", "orientation_filter")
_LIST_LENGTH = max(CUTOFFS)
_BATCH = 256


def choose(ctx: RunContext, params: MeasureLiveParams, inputs: Inputs) -> Chosen:
    """Find what was live when this night ran."""
    state = as_of(Ledger(ctx.lake).entries(), ctx.run_date)
    return Chosen(sources={"release": str(state.release or "none")}, found=state)


def run(ctx: RunContext, params: MeasureLiveParams, inputs: Inputs, staged: StagedRun, state: State) -> LiveDayFacts:
    """Ask and measure; a release that cannot be asked is no error."""
    searches = _searches(ctx, inputs["splits"])
    asked = of_some_visitors(searches, params.max_search_count)
    opened = _open(ctx, state, len(searches))
    if isinstance(opened, str):
        note, figures, rank_Q = opened, None, np.zeros(0, dtype=np.int32)
    else:
        rank_Q = _ranks(opened, asked)
        note, figures = "", _figures(opened, asked, rank_Q)
    ranked = asked.head(len(rank_Q)).select("query", "country", "photo_id").with_columns(pl.Series("rank", rank_Q))
    staged.write_table("ranks", ranked)
    return LiveDayFacts(
        day=ctx.run_date, release=state.release, day_search_count=len(searches), note=note, measured=figures
    )


def _searches(ctx: RunContext, splits: Manifest) -> pl.DataFrame:
    """Return the searches of the run date, in whichever windows they are: by the protocol 80/20 one may end in it."""
    begin = ctx.as_of - timedelta(days=1)
    names = ["visitor", "photo_id", "converted_at", *_ASKED]
    windows = SplitsFacts.of(splits).windows.items()
    parts = [ctx.lake.read_table(splits, name, names) for name, (_, end) in windows if end > begin]
    searches = pl.concat(parts).filter(pl.col("converted_at").is_between(begin, ctx.as_of, closed="left"))
    searches = searches.with_columns(pl.col("country").fill_null(""))
    return searches.sort("query", "country", "converted_at", "visitor", "photo_id")


def _open(ctx: RunContext, state: State, search_count: int) -> OpenRelease | str:
    """Return the release that was live, or why it is not asked."""
    release = state.release
    if release is None:
        return "nothing was published"
    if release.run_date >= ctx.run_date:
        return f"the release {release} was made of a log that reaches into {ctx.run_date}"
    if not search_count:
        return f"the log has no search of {ctx.run_date}"
    try:
        return open_release(ctx.lake, release, _published_digest(ctx.lake, state), with_model=True)
    except UNUSABLE as error:
        return f"the release {release} cannot be opened: {error}".rstrip(".")


def _published_digest(lake: Lake, state: State) -> str:
    """Return the digest of what was published, as far as that is kept: of what still is; else ""."""
    pointer = read_pointer(lake)
    return pointer.digest if pointer is not None and pointer.release == state.release else ""


def _ranks(release: OpenRelease, searches: pl.DataFrame) -> NDArray[np.int32]:
    """Return the rank of each search's photo in the list that the release shows, shape (Q,)."""
    asked = [Asked(*row) for row in searches.select(_ASKED).iter_rows()]
    photo_ids, progress, parts = searches["photo_id"].to_list(), Progress(log, "searches", len(asked)), []
    for start in range(0, len(asked), _BATCH):
        batch = slice(start, start + _BATCH)
        found = release.search(asked[batch], _LIST_LENGTH)
        parts.append(release.live.catalogue.ranks(found, photo_ids[batch]))
        progress.advance(len(found))
    return np.concatenate(parts)


def _figures(release: OpenRelease, searches: pl.DataFrame, rank_Q: NDArray[np.int32]) -> LiveFigures:
    visitor_Q = integers(searches["visitor"])
    card = Scorecard.of({"live": rank_Q}, Clusters.of(visitor_Q, integers(searches["query"].rank("dense"))))
    found, column = card.estimates("live"), columns().index((METRIC, CUTOFF))
    is_unknown_Q = release.live.catalogue.places(searches["photo_id"].to_list()) < 0
    return LiveFigures(
        search_count=card.query_count,
        visitor_count=card.cluster_counts[0],
        hit_rate_at_10=float(found.value[column]),
        low=float(found.low[column]),
        high=float(found.high[column]),
        unknown_photo_share=float(is_unknown_Q.mean()),
    )
