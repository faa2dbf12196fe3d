"""The capacity plan of docs/SCALING.md, computed from unit figures that the benchmarks print. No measuring here.

    python -m tests.benchmarks.capacity

prints the tables; a test holds the page to them. To plan with figures of your own machines, change `UNITS` and run it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jobs.config.params.release import PublishReportParams
from jobs.config.settings import Settings

PRICES = PublishReportParams()
SPARK_FROM_ROWS: int = Settings.model_fields["spark_from_rows"].default


@dataclass(frozen=True)
class Reading:
    """What a million rows cost the stages that read the log, in one process or on Spark."""

    read: float  # validated, new
    kept: float  # validated, read on an earlier night
    split: float
    audit: float
    starting: float


@dataclass(frozen=True)
class Units:
    """What one of a thing costs: CPU-seconds of one core of the machine named in the page, unless said otherwise."""

    # test_log_benchmark.py, 1,000,000 against 5,000,000 conversions: a million rows, and what is left at none
    here: Reading = Reading(read=4.3, kept=0.6, split=3.5, audit=2.4, starting=5.0)
    # the same with NIGHTLENS_SPARK_FROM_ROWS=1, 200,000 against 2,000,000
    spark: Reading = Reading(read=12.9, kept=8.1, split=25.8, audit=20.8, starting=20.0)
    starting: float = 40.0  # a stage that starts Spark and loads a model
    # test_scaling_benchmark.py
    billion_scores: float = 15.0  # exact ranking, 768 numbers
    picture_read: float = 0.00459
    picture_gflop: float = 35.4
    text_gflop: float = 7.2
    # test_index_benchmark.py, 256 numbers a vector; in proportion for more
    index_million_photos: float = 392.0
    # `evaluate` of a night on 25,000 photos, 200,000 searches and a million conversions (`large_night.py`)
    answered_search: float = 0.0007  # by a whole search, at the window's beginning or with fresher counts
    # the tables of a search, made in one process: a million conversions, a million photos
    tables_conversions: float = 1.0
    tables_photos: float = 10.0
    # short vectors of 25,000 photos, 768 numbers each, in tasks
    short_photos: float = 40.0
    # the emoji set's night
    reranker_search: float = 0.0355
    # rows of the lake, bytes
    conversion_bytes: float = 34.0 + 30.0 + 23.0  # as it was read, validated, split
    photo_bytes: float = 500.0
    vector_numbers: int = 768
    table_photo_bytes: float = 468.0  # id, times, nine sums, twelve words, a short vector, eight keywords
    table_pair_bytes: float = 48.0  # a (photo, query, country) and its (photo, query)


@dataclass(frozen=True)
class Assumed:
    """What was not measured."""

    tflops: float = 100.0
    """A GPU's sustained work in bfloat16, 10^12 a second: a third of what an A100 is sold as."""
    rows_per_photo: int = 9
    """In photos and keywords."""
    log_days: int = 365
    different_share: float = 0.5
    """Different (photo, query, country) among conversions."""
    texts_share: float = 0.25
    """Different (query, country) among the searches of ten days."""
    most_keywords: float = 1e6
    """Different ones of all photos: as many as there are photos, and at most so many."""
    new_photo_share: float = 0.001
    """A night."""
    replay: float = 4.0
    """Pairs of an incremental night per new conversion: itself and three from before."""
    arms: int = 2
    """Zero-shot and full."""


UNITS, ASSUMED = Units(), Assumed()


@dataclass(frozen=True)
class Site:
    """A size of the problem."""

    name: str
    photos: float
    conversions: float
    ranked_searches: float
    workers: int  # machines of Spark
    cores: int  # of each
    gpus: int


SITES = (
    Site("25 thousand photos, 1 million conversions", 25e3, 1e6, 50e3, 1, 8, 1),
    Site("3 million photos, 250 million conversions", 3e6, 250e6, 200e3, 8, 16, 8),
    Site("1 billion photos, 10 billion conversions", 1e9, 10e9, 50e3, 128, 32, 128),
)


@dataclass(frozen=True)
class Work:
    """What a stage does in one night: in tasks, and what only one process does before or after them."""

    stage: str
    cpu_seconds: float
    gpu_seconds: float
    where: str  # "Spark" | "one machine" | "GPU"
    alone_seconds: float = 0.0

    def hours(self, site: Site) -> float:
        """Return how long it takes on the machines of the site, work shared out evenly."""
        all_cores = site.workers * site.cores
        cores = {"Spark": all_cores, "GPU": all_cores, "one machine": site.cores}[self.where]
        return (max(self.cpu_seconds / cores, self.gpu_seconds / site.gpus) + self.alone_seconds) / 3600


def night(site: Site, *, is_first: bool, moves_images: bool = True) -> list[Work]:
    """Return the work of the first night, or of a later one, which goes on from the model before.

    `moves_images`: whether training moves the image tower, so that all photos have to be embedded anew.
    """
    u, a = UNITS, ASSUMED
    millions, photo_millions = site.conversions / 1e6, site.photos / 1e6
    daily = site.conversions / a.log_days
    pairs = (site.conversions if is_first else daily * a.replay) * a.different_share
    embeds_all = is_first or moves_images
    embedded = site.photos * (1 if embeds_all else a.new_photo_share) * (a.arms if is_first else 1)
    texts = 10 * daily * a.texts_share * a.arms + min(site.photos, a.most_keywords)
    scores = site.photos * site.ranked_searches / 1e9
    learned_from = min(20e3, 3 * daily)
    gflop_seconds = 1e-3 / a.tflops  # a GPU's seconds per GFLOP
    rows = millions + photo_millions * a.rows_per_photo
    new = rows if is_first else daily / 1e6 + photo_millions * a.rows_per_photo * a.new_photo_share
    reading, where = (u.spark, "Spark") if rows >= SPARK_FROM_ROWS / 1e6 else (u.here, "one machine")
    tables = u.tables_conversions * millions + u.tables_photos * photo_millions
    index = u.index_million_photos * u.vector_numbers / 256
    return [
        Work("validate_logs", reading.starting + reading.read * new + reading.kept * (rows - new), 0, where),
        Work("split_temporal", reading.starting + reading.split * millions, 0, where),
        Work("audit_leaks", reading.starting + reading.audit * millions, 0, where),
        Work(
            "train_search", pairs * u.picture_read, 3 * pairs * (u.picture_gflop + u.text_gflop) * gflop_seconds, "GPU"
        ),
        Work("embed_photos", embedded * u.picture_read, embedded * u.picture_gflop * gflop_seconds, "GPU"),
        Work("embed_queries", u.starting, texts * u.text_gflop * gflop_seconds, "GPU"),
        Work("build_index", index * photo_millions * (1 if embeds_all else 0.1), 0, "Spark"),
        Work("verify_index", u.billion_scores * site.photos * 1000 / 1e9, 0, where),
        # the lists of texts, then the features and trees of at most 20,000 searches
        Work(
            "train_reranker",
            u.billion_scores * site.photos * learned_from / 1e9 + u.short_photos * photo_millions,
            0,
            where,
            tables + learned_from * u.reranker_search,
        ),
        # two arms and the lists of the candidate; of the champion an arm and lists
        Work(
            "evaluate",
            5 * u.billion_scores * scores
            + 5 * u.answered_search * site.ranked_searches
            + 2 * u.short_photos * photo_millions,
            0,
            where,
            2 * tables,
        ),
    ]


def lake_bytes(site: Site) -> float:
    """Return what a night keeps: rows, vectors in the store and in the night's table (by arm), and the index."""
    vectors = 4 * UNITS.vector_numbers * (2 * ASSUMED.arms + 1)
    return site.conversions * UNITS.conversion_bytes + site.photos * (UNITS.photo_bytes + vectors)


def table_bytes(site: Site) -> float:
    """Return what the tables of a search take in the process that makes them, if all queries are asked."""
    pairs, keywords = site.conversions * ASSUMED.different_share, min(site.photos, ASSUMED.most_keywords)
    per_keyword = 2 * UNITS.vector_numbers
    return site.photos * UNITS.table_photo_bytes + pairs * UNITS.table_pair_bytes + keywords * per_keyword


def work_table(site: Site) -> str:
    """Return the stages of the first night and of a later one."""
    lines = ["| stage | runs in | first night | a later night | image tower frozen |", "|---|---|---|---|---|"]
    nights = [night(site, is_first=True), night(site, is_first=False), night(site, is_first=False, moves_images=False)]
    for row in zip(*nights, strict=True):
        cells = [f"{_work(work)}: {_hours(work.hours(site))}" for work in row]
        lines.append(f"| `{row[0].stage}` | {row[0].where} | {' | '.join(cells)} |")
    totals = [f"{_hours(sum(work.hours(site) for work in works))}, {_money(works)}" for works in nights]
    lines.append(f"| **all** | {_machines(site)} | {' | '.join(totals)} |")
    return "\n".join(lines)


def sizes_table() -> str:
    """Return what has to fit where, for every size."""
    lines = ["| | lake, a night | a month of it | tables of a search, in one process | pictures |"]
    lines.append("|---|---|---|---|---|")
    for site in SITES:
        kept = lake_bytes(site)
        month = f"{kept / 1e9 * PRICES.gb_month_price:,.0f} {PRICES.currency}"
        sizes = (_bytes(kept), month, _bytes(table_bytes(site)), _bytes(site.photos * 34e3))
        lines.append(f"| {site.name} | {' | '.join(sizes)} |")
    return "\n".join(lines)


def _machines(site: Site) -> str:
    return f"{site.workers} x {site.cores} cores, {site.gpus} GPU{'s' if site.gpus > 1 else ''}"


def _work(work: Work) -> str:
    parts = [_seconds(work.cpu_seconds, "CPU")]
    if work.gpu_seconds >= 1:
        parts.append(_seconds(work.gpu_seconds, "GPU"))
    if work.alone_seconds >= 1:
        parts.append(f"{work.alone_seconds:,.0f} s alone")
    return " + ".join(parts)


def _seconds(seconds: float, what: str) -> str:
    return f"{seconds:,.0f} {what} s" if seconds < 3600 else f"{seconds / 3600:,.1f} {what} h"


def _hours(hours: float) -> str:
    return f"{hours * 60:,.0f} min" if hours < 2 else f"{hours:,.1f} h" if hours < 48 else f"{hours / 24:,.0f} days"


def _money(works: list[Work]) -> str:
    cpu = sum(work.cpu_seconds + work.alone_seconds for work in works) / 3600 * PRICES.cpu_hour_price
    gpu = sum(work.gpu_seconds for work in works) / 3600 * PRICES.gpu_hour_price
    return f"{cpu + gpu:,.2f} {PRICES.currency}" if cpu + gpu < 100 else f"{cpu + gpu:,.0f} {PRICES.currency}"


def _bytes(count: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count / 1e6:,.0f} MB"


TABLES: dict[str, Callable[[], str]] = {
    "sizes": sizes_table,
    **{site.name: lambda site=site: work_table(site) for site in SITES},
}

if __name__ == "__main__":
    for name, table in TABLES.items():
        print(f"{name}\n\n{table()}\n")
