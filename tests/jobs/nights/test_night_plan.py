"""What a night is about: what is given counts, what is left open is filled in, what is wrong is named."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from jobs.config.params.release import PublishReportParams
from jobs.config.settings import Settings
from jobs.datasets.models import BASE_MODEL
from jobs.datasets.reports import REPORT
from jobs.errors import BadInput, MissingInput
from jobs.nights import night_plan
from jobs.nights.night_plan import check_report, describe, plan_night
from jobs.sample import TINY, make_sample
from tests.conftest import Contexts
from tests.errors import raises
from tests.validated_lake import commit_tables


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "My Photos"
    make_sample(folder, TINY)
    return folder


def test_the_defaults_come_from_the_data_set(settings: Settings, dataset: Path) -> None:
    plan = plan_night(settings, dataset=str(dataset))
    last_day = date.fromisoformat(json.loads((dataset / "sample.json").read_text())["last_complete_day"])
    assert (plan.catalogue, plan.preset, plan.run_date) == ("my-photos", "small", last_day)
    assert json.loads(describe(plan))["run_date"] == str(last_day)


def test_a_scheduled_night_uses_the_day_before_it_or_the_last_of_the_log(settings: Settings, dataset: Path) -> None:
    within = datetime(2026, 4, 10, 2, tzinfo=UTC)
    assert plan_night(settings, dataset=str(dataset), scheduled_for=within).run_date == date(2026, 4, 9)
    long_after = datetime(2027, 1, 1, 2, tzinfo=UTC)
    plain = plan_night(settings, dataset=str(dataset)).run_date
    assert plan_night(settings, dataset=str(dataset), scheduled_for=long_after).run_date == plain


def test_what_is_given_counts(settings: Settings, dataset: Path) -> None:
    given = {"catalogue": "mine", "preset": "tiny", "run_date": "2026-04-01"}
    plan = plan_night(settings, dataset=str(dataset), **given)
    assert (plan.catalogue, plan.preset, str(plan.run_date)) == ("mine", "tiny", "2026-04-01")


def test_the_sample_is_made_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def make_tiny(folder: Path) -> None:
        made.append(folder)
        make_sample(folder, TINY)

    monkeypatch.setattr("jobs.sample.make_sample", make_tiny)
    plans = [plan_night(settings, dataset=name) for name in ("", night_plan.SAMPLE)]
    assert made == [settings.state_dir / "sample"]
    assert plans[0] == plans[1]
    assert (plans[0].catalogue, plans[0].preset) == ("sample", "sample")


@pytest.mark.parametrize(
    ("change", "error", "code", "named"),
    [
        ({"run_date": "tomorrow"}, BadInput, "not_a_date", {"value": "tomorrow"}),
        ({"preset": "huge"}, BadInput, "no_such_preset", {"preset": "huge"}),
        ({"dataset": "/no/such/folder"}, MissingInput, "no_such_folder", {"folder": "/no/such/folder"}),
    ],
)
def test_what_is_wrong_is_named(
    settings: Settings, dataset: Path, change: dict[str, str], error: type[Exception], code: str, named: dict[str, str]
) -> None:
    with raises(error, code, **named):
        plan_night(settings, **({"dataset": str(dataset)} | change))


PHOTOS = "photo_id\tphoto_image_url\tphoto_submitted_at\tphoto_description\n"
LOG = "converted_at\tconversion_type\tkeyword\tphoto_id\tanonymous_user_id\tconversion_country\n"


def data_set(folder: Path, rows: str, header: str = PHOTOS) -> Path:
    folder.mkdir()
    (folder / "photos.tsv000").write_text(header + rows)
    (folder / "conversions.tsv000").write_text(LOG + "2025-12-28 10:00:00\tdownload\tcat\ta\tv\tGB\n" * 20)
    return folder


@pytest.mark.parametrize(
    ("header", "rows"),
    [(PHOTOS, "a\tu\t2025-01-01\t\nb\tu\t2025-01-01\t \n"), (PHOTOS.replace("\tphoto_description", ""), "a\tu\td\n")],
)
def test_a_night_without_a_word_for_photos_is_refused_before_it_begins(
    settings: Settings, tmp_path: Path, header: str, rows: str, make_context: Contexts
) -> None:
    folder = data_set(tmp_path / "wordless", rows, header)
    with raises(BadInput, "no_words_for_photos", folder=str(folder), preset="small") as caught:
        plan_night(settings, dataset=str(folder))
    assert f'make nightly DATASET="{folder}" PRESET=vit-b-16-siglip' in str(caught.value)
    assert plan_night(settings, dataset=str(folder), preset="vit-b-16-siglip").preset == "vit-b-16-siglip"
    (folder / "keywords.tsv000").write_text("photo_id\tkeyword\na\t \n")
    with raises(BadInput, "no_words_for_photos"):
        plan_night(settings, dataset=str(folder))
    (folder / "keywords.tsv001").write_text("photo_id\tkeyword\na\tcat\n")
    assert plan_night(settings, dataset=str(folder)).preset == "small"
    (folder / "keywords.tsv001").unlink()
    commit_tables(make_context(catalogue="wordless"), BASE_MODEL)
    assert plan_night(settings, dataset=str(folder)).preset == "small"  # goes on from the base that is there


@pytest.mark.parametrize(
    "rows",
    [
        "a\tu\t2025-01-01\t\nb\tu\t2025-01-01\ta cat\n",
        'a\tu\t2025-01-01\t"a cat\nand a dog"\n',
        "a\tu\t2025-01-01\t\n" * 200_001,  # beyond the rows that are looked at nobody knows
        "a\tu\t2025-01-01\t" + "x" * 200_000,
    ],
    ids=["second row", "quoted", "long file", "long cell"],
)
def test_a_night_that_may_have_words_is_planned(settings: Settings, tmp_path: Path, rows: str) -> None:
    assert plan_night(settings, dataset=str(data_set(tmp_path / "words", rows))).preset == "small"


def test_a_report_is_published_if_the_lake_has_it_and_its_page_is_there(
    settings: Settings, dataset: Path, make_context: Contexts
) -> None:
    plan = plan_night(settings, dataset=str(dataset))
    with raises(MissingInput, "night_not_published", run_date=str(plan.run_date), catalogue=plan.catalogue):
        check_report(settings, plan)
    staged = make_context(catalogue=plan.catalogue, run_date=plan.run_date).begin(REPORT, PublishReportParams(), {})
    staged.write_file("report.html", b"<p>")
    staged.commit()
    page = settings.report_dir / plan.catalogue / f"{plan.run_date}.html"
    with raises(MissingInput, "no_report_page", path=page):
        check_report(settings, plan)
    page.parent.mkdir(parents=True)
    page.write_text("<p>")
    assert check_report(settings, plan) == page
