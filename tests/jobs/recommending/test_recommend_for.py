"""Recommending by hand: what a night's methods learned serves its visitors and others, and what is refused."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from jobs.commands import main
from jobs.config.params.evaluation import EvaluateRecommendersParams
from jobs.datasets.clean import VALIDATED
from jobs.datasets.evaluation import RecommendationFacts
from jobs.errors import BadInput, MissingInput
from jobs.ingest.rows import pseudonym
from jobs.lake.manifest import Manifest
from jobs.nights.stage_runner import run_stage
from jobs.recommending.recommend_for import recommend
from jobs.recommending.terminal_table import RecommendationRequest, Recommended
from models.recommend.protocols import TEMPORAL
from models.recommend.saving import ARRAYS, DESCRIPTION
from tests.conftest import Contexts
from tests.errors import raises
from tests.jobs.night_of_tastes import IDS, Night
from tests.validated_lake import commit_tables

PARAMS = EvaluateRecommendersParams(
    methods=("popularity", "item_knn", "mean_embedding", "sasrec"), protocols=(), sasrec_passes=1
)

RAW = "visitor of the log"


@pytest.fixture
def night(make_context: Contexts) -> Night:
    """A night in which visitor 0 is called `RAW` in the log; photo 2 is hidden everywhere, photo 4 in Japan."""
    made = Night(make_context())
    key = made.context.settings.pseudonym_key.get_secret_value().encode()
    made.names[0] = pseudonym(RAW, key)
    hidden = pl.DataFrame({"photo_id": [IDS[2], IDS[4]], "country": [None, "JP"]})
    tables = {"photos": pl.DataFrame({"photo_id": IDS}), "conversions": pl.DataFrame({"photo_id": IDS})}
    commit_tables(made.context, VALIDATED, tables | {"hidden": hidden})
    return made


def run(night: Night, params: EvaluateRecommendersParams = PARAMS) -> Manifest:
    return run_stage(night.commit(), "evaluate_recommenders", params)


def ask(night: Night, *photos: int, country: str = "", **how: Any) -> Recommended:
    asked = RecommendationRequest("", None, tuple(IDS[number] for number in photos), country)
    return recommend(night.context.settings, "test", asked, **how)


def shown(found: Recommended) -> set[str]:
    return {photo.photo_id for photo in found.photos}


def test_a_visitor_of_the_log_and_photos_by_hand_get_what_they_like(
    night: Night, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = run(night)
    assert {name.split("/")[1] for name in manifest.files} == set(PARAMS.methods)
    assert {name.rsplit("/", 1)[1] for name in manifest.files} == {ARRAYS, DESCRIPTION}
    by_hand = ask(night, 6, 8, method="mean_embedding", count=27)
    even = set(IDS[::2])
    assert shown(by_hand) == even - {IDS[2], IDS[6], IDS[8]}  # the rest of the taste, but what is hidden
    assert by_hand.history == (IDS[8], IDS[6])
    scores = [photo.score for photo in by_hand.photos]
    assert scores == sorted(scores, reverse=True)
    assert by_hand.photos[0].words.startswith("a thing")
    abroad = ask(night, 6, 8, method="mean_embedding", count=26, country="JP")
    assert shown(abroad) == shown(by_hand) - {IDS[4]}

    for name in ("state_dir", "lake_uri", "report_dir"):
        monkeypatch.setenv(f"NIGHTLENS_{name.upper()}", str(getattr(night.context.settings, name)))
    monkeypatch.setenv("NIGHTLENS_PSEUDONYM_KEY", night.context.settings.pseudonym_key.get_secret_value())
    command = ["recommend", "--catalogue", "test", "--visitor", RAW, "--count", "3"]
    # everything of the own taste was taken until the night's end, so what is left are photos of the other
    assert main.main([*command, "--method", "mean_embedding"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"for visitor {RAW} in test, by mean_embedding of the night of 2025-12-28"
    assert lines[1].startswith("had before, latest first: photo-58")
    assert lines[1].endswith("and 24 more")
    assert [int(line.split()[1].removeprefix("photo-")) % 2 for line in lines[-3:]] == [1, 1, 1]
    assert main.main(command) == 0
    assert "had the night's highest hit rate@10" in capsys.readouterr().out


def test_a_night_of_lists_less_alike_recommends_such(night: Night) -> None:
    params = PARAMS.model_copy(update={"methods": ("mean_embedding",), "diversity": 0.7})
    run(night, params)
    found = ask(night, 6, 8)
    assert {int(photo.photo_id.removeprefix("photo-")) % 2 for photo in found.photos} == {0, 1}
    assert found.notes[-1] == "Chosen by marginal relevance (diversity 0.7): scores need not fall."


def test_what_a_method_leaves_empty_is_filled_up_by_popularity_where_that_is_kept(night: Night) -> None:
    night.past = [(v, v % 2) for v in range(11)]  # one each: nothing goes with anything
    run(night)
    by_method, popular = (ask(night, 7, method=name) for name in ("item_knn", "popularity"))
    assert by_method.photos == popular.photos
    assert by_method.notes == ("The last 10 are what is popular: the method has nothing more to go by.",)
    run(night, PARAMS.model_copy(update={"methods": ("item_knn", "mean_embedding")}))
    with raises(BadInput, "nothing_to_go_by", method="item_knn") as caught:
        ask(night, 7, method="item_knn")
    assert "mean_embedding" in str(caught.value)


def test_what_is_not_there_or_makes_no_sense_is_said(night: Night) -> None:
    with raises(MissingInput, "no_such_catalogue", catalogue="other", catalogues=["test"]):
        recommend(night.context.settings, "other", RecommendationRequest("", None, (IDS[1],)))
    with raises(MissingInput, "no_night_yet", lake=str(night.context.lake.root)):
        ask(night, 1)
    run(night, EvaluateRecommendersParams(max_visitor_count=0))
    with raises(MissingInput, "no_method_kept") as caught:
        ask(night, 1)
    assert "max_visitor_count is 0" in str(caught.value)
    night.past = [(v, v % 2) for v in range(11)]
    manifest = run(night)
    with raises(MissingInput, "no_such_night", run_date="2025-01-01", nights=["2025-12-28"]):
        ask(night, 1, run_date=date(2025, 1, 1))
    with raises(
        MissingInput, "no_such_method", method="sasrec", methods=["item_knn", "mean_embedding", "popularity"]
    ) as caught:
        ask(night, 1, method="sasrec")
    assert RecommendationFacts.of(manifest).notes[f"{TEMPORAL}/sasrec"] in str(caught.value)
    with raises(MissingInput, "no_such_photo", photo_ids=["nowhere"]):
        recommend(night.context.settings, "test", RecommendationRequest("", None, ("nowhere",)))
    with raises(MissingInput, "no_such_visitor", visitor="nobody"):
        recommend(night.context.settings, "test", RecommendationRequest("nobody", "f" * 32, ()))
    with raises(BadInput, "count_out_of_range", count=101, most=100):
        ask(night, 7, count=101)
    with raises(BadInput, "unknown_country", country="England"):
        ask(night, 7, country="England")
    Path(night.context.lake.file_path(manifest, f"models/popularity/{ARRAYS}")).write_bytes(b"damaged")
    with raises(BadInput, "stored_file_changed") as caught:
        ask(night, 7, method="popularity")
    assert caught.value.named["path"].endswith(f"models/popularity/{ARRAYS}")
