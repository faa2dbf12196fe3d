"""The lineage of a release: its parts, what became of it, and the runs it was made from down to the log."""

from __future__ import annotations

import polars as pl
import pytest

from jobs.commands import main
from jobs.config.params.arms import FULL
from jobs.config.params.release import MakeReleaseParams
from jobs.context import RunContext
from jobs.datasets.clean import IMAGES, VALIDATED
from jobs.datasets.embeddings import PHOTO_EMBEDDINGS
from jobs.datasets.features import SPLITS
from jobs.datasets.models import SEARCH_MODELS
from jobs.errors import BadInput, MissingInput
from jobs.housekeeping.lineage import of_photo, of_release
from jobs.nights.stage_runner import run_stage
from jobs.releasing.promotion import promote
from tests.conftest import Contexts
from tests.errors import raises
from tests.registered import make_model
from tests.released import BY, Registry, commit_registration, commit_release, commit_releases, name_of, night
from tests.validated_lake import commit_tables


def with_log(context: RunContext) -> None:
    """Make the night's splits of a log."""
    photos, conversions = (pl.DataFrame({"photo_id": ["p0"] * count}) for count in (2, 3))
    tables = {"photos": photos, "conversions": conversions}
    validated = commit_tables(context, VALIDATED, tables, label="log")
    splits = context.read(SPLITS)
    # other content, so the release is another one
    copies = {name: 1 if name == "photos" else 2 for name in splits.tables}
    doubled = {name: pl.concat([context.lake.read_table(splits, name)] * count) for name, count in copies.items()}
    commit_tables(context, SPLITS, doubled, inputs={"validated": validated}, facts=splits.facts)


def test_a_release_is_told_part_by_part_down_to_the_log(make_context: Contexts, registry: Registry) -> None:
    context = make_context(run_date=night(1))
    first = commit_release(context)
    with_log(context)
    release = run_stage(context, "make_release", MakeReleaseParams())
    assert release.run_id != first.run_id
    commit_registration(context, 1, seed=0)
    name = str(name_of(release))
    text = "\n".join(of_release(context.lake, name))
    assert of_release(context.lake, "2025-12-01") == of_release(context.lake, name)
    assert f"release {name} of catalogue test: a candidate nobody decided on" in text
    assert "night: 2025-12-01, nothing known at or after 2025-12-02T00:00:00+00:00" in text
    assert "registered: model nightlens-test version 1, run run-1" in text
    assert f"model: arm {FULL}, digest {make_model(FULL).digest}" in text
    assert "index: flat, 9 photos in " in text
    assert "id map: 9 rows" in text
    assert f"vocabulary: model/keywords.json, sha256 {release.files['model/keywords.json'].sha256}" in text
    assert "validation_end: 2025-12-22T00:00:00+00:00" in text
    assert f"log: {context.read(VALIDATED).reference}: photos 2" in text
    assert "from outside the lake: fabricated log" in text
    for dataset in (SEARCH_MODELS, SPLITS, VALIDATED):
        assert context.read(dataset).reference in text.split("made from")[1]


def test_what_became_of_it_is_told(make_context: Contexts, registry: Registry) -> None:
    settings, lake = make_context().settings, make_context().lake
    with raises(MissingInput, "nothing_published", lake=str(lake.root)):
        of_release(lake, "published")
    commit_releases(make_context, (1, 2, 3))
    promote(settings, "test", 1, **BY)
    promote(settings, "test", 2, **BY)
    assert of_release(lake, "published") == of_release(lake, "2025-12-02")
    assert "published since entry 2 of the promotion ledger" in of_release(lake, "published")[0]
    assert "was published before, 1 back" in of_release(lake, "2025-12-01")[0]
    assert "a candidate nobody decided on" in of_release(lake, "2025-12-03")[0]


@pytest.mark.parametrize(
    ("name", "error", "code", "named"),
    [
        ("latest", BadInput, "not_a_release_name", {"value": "latest"}),
        ("2025-12-01/../../x", BadInput, "not_a_release_name", {}),
        ("2025-12-01/00ff", MissingInput, "no_such_release", {"release": "2025-12-01/00ff"}),
        ("2025-12-09", MissingInput, "stage_not_run", {"dataset": "release"}),
    ],
)
def test_what_is_none_is_named(
    make_context: Contexts, name: str, error: type[Exception], code: str, named: dict[str, str]
) -> None:
    with raises(error, code, **named):
        of_release(make_context().lake, name)


def with_photos(context: RunContext, photo_ids: list[str], quarantine: pl.DataFrame | None = None) -> None:
    photos = {"photos": pl.DataFrame({"photo_id": photo_ids})}
    commit_tables(context, VALIDATED, photos if quarantine is None else photos | {"quarantine": quarantine})
    for dataset in (IMAGES, SPLITS, PHOTO_EMBEDDINGS):
        commit_tables(context, dataset)


@pytest.mark.parametrize(
    ("photo_id", "said"),
    [
        ("left", "it is gone since the night of 2025-12-02. The night of 2025-12-01 was the last that had it."),
        ("later", "the night of 2025-12-04 is the first that has it."),
        ("bad", "it is in quarantine for null_submitted_at, bad_url, photos.tsv000:7."),
        ("bad.", "no night of test has it, and the quarantine has no row of it."),
    ],
)
def test_a_photo_that_a_night_does_not_have_is_told_why(make_context: Contexts, photo_id: str, said: str) -> None:
    record = {"table": "photos", "source_file": "photos.tsv000", "source_line": 7, "record": "bad\thttps://x"}
    bad = pl.DataFrame([record | {"reasons": ["null_submitted_at", "bad_url"]}])
    for number, photo_ids in enumerate((["stays", "left"], ["stays"], ["stays"], ["stays", "later"]), start=1):
        with_photos(make_context(run_date=night(number)), photo_ids, bad)
    with raises(MissingInput, "no_such_photo", photo_ids=[photo_id]) as caught:
        of_photo(make_context().lake, "2025-12-03", photo_id)
    assert str(caught.value) == f"the night of 2025-12-03 has no photo {photo_id!r}: {said}"


def test_the_command_prints_it(
    make_context: Contexts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commit_release(make_context(run_date=night(1)))
    monkeypatch.setenv("NIGHTLENS_STATE_DIR", str(make_context().settings.state_dir))
    assert main.main(["lineage", "release", "2025-12-01", "--catalogue", "test"]) == 0
    assert capsys.readouterr().out.startswith("release 2025-12-01/")
