"""The stage `evaluate_similar` on a small night of three themes: right answers, soundly dated, nothing unfinished."""

from __future__ import annotations

import hashlib
import io
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from pydantic import ValidationError

from jobs.adapters import task_pool
from jobs.config.params.arms import CHAMPION_ARM, FULL, ZERO_SHOT
from jobs.config.params.evaluation import TRUTHS, EvaluateSimilarParams
from jobs.config.settings import Settings
from jobs.context import RunContext
from jobs.datasets.clean import IMAGES, VALIDATED
from jobs.datasets.embeddings import PHOTO_EMBEDDINGS
from jobs.datasets.evaluation import SIMILAR, SimilarFacts
from jobs.datasets.features import SPLITS
from jobs.datasets.models import CHAMPION, SEARCH_MODELS, VARIANT
from jobs.datasets.schema import Dataset
from jobs.errors import BadInput, MissingInput
from jobs.lake.manifest import Manifest
from jobs.lake.vector_store import part_bytes, part_name, text_key
from jobs.nights.stage_runner import run_stage
from jobs.similar import arm_blocks, arm_lists, pictures
from jobs.similar.inputs import BY_FILE
from models.evaluation.ranking import tie_order
from models.images import DECODER_VERSION
from models.search.completion import Exemplars
from models.search.identity import IDENTITY, ModelIdentity
from tests.conftest import Contexts
from tests.errors import raises
from tests.validated_lake import commit_tables

PARAMS = EvaluateSimilarParams(max_group_share=0.5, contact_sheet_photos=3)
BEFORE, TEST_START, TEST_END = (datetime(2025, 12, day, tzinfo=UTC) for day in (1, 22, 29))
COUNT, THEMES = 18, 3
IDS = [f"photo-{i:02}" for i in range(COUNT)]


def theme(number: int) -> int:
    return number % THEMES if number < COUNT - 1 else 0


def vectors(noise: float) -> np.ndarray[Any, Any]:
    """A vector for every photo, near the axis of its theme; the last photo's is that of the first."""
    found = np.eye(THEMES + 3)[[theme(i) for i in range(COUNT)]]
    found = found + np.random.default_rng(5).normal(size=found.shape) * noise
    found[-1] = found[0]
    return found / np.linalg.norm(found, axis=1, keepdims=True)


PICTURES = vectors(0.35) * 7
"""What the full arm's image tower makes of the pictures alone: their themes, less clearly than with keywords."""
IDENTITY_OF_FULL = ModelIdentity(digest="d", image_digest="tower", text_digest="t", dim=THEMES + 3, uses_country=True)
IDENTITIES = {f"{FULL}/{IDENTITY}": IDENTITY_OF_FULL.model_dump_json().encode()}


def conversions(rows: list[tuple[str, str, int]], at: datetime) -> pl.DataFrame:
    schema = {"visitor_id": pl.String, "query": pl.String, "number": pl.Int64}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    photos = frame["number"].replace_strict(dict(enumerate(IDS)), return_dtype=pl.String)
    return frame.select("visitor_id", "query", photo_id=photos).with_columns(
        country=pl.lit("GB"), converted_at=pl.lit(at, pl.Datetime("us", "UTC")), conversion_count=1
    )


class Night:
    """The inputs of the stage, open to changes before `commit`. Photo 17 is the very picture of photo 0."""

    def __init__(self, context: RunContext, folder: Path) -> None:
        self.context, self.folder = context, folder
        everybody = [(f"v{n}", f"theme {theme(i)}", i) for i in range(0, COUNT, 2) for n in (i, i + 1)]
        self.test = [*everybody, ("v99", "theme 0", 1)]  # one visitor alone: noise
        self.train = [(f"t{i}", f"theme {theme(i)}", i) for i in range(COUNT - 3)]
        self.collections = [(i, f"collection {theme(i)}", BEFORE) for i in range(6)]
        self.hidden: list[tuple[str, str | None]] = []
        self.champion: dict[str, Any] | None = None
        self.keywords = [(IDS[i], word, 0.9) for i in range(COUNT) for word in (f"theme {theme(i)}", f"of {theme(i)}")]
        self.arms = {FULL: 0.01, ZERO_SHOT: 3.0}
        self.embedded = dict(self.arms)
        self.reads_keywords = True
        self.exemplars = pl.DataFrame()
        self.file_count = 1

    def commit(self) -> RunContext:
        commit = self._commit
        photos = pl.DataFrame({"photo_id": IDS, "description": "something", "is_in_train": True})
        photos = photos.with_columns(submitted_at=pl.lit(BEFORE, pl.Datetime("us", "UTC")))
        tables = {
            "train": conversions(self.train, BEFORE),
            "validation": conversions([], BEFORE),
            "test": conversions(self.test, TEST_START + timedelta(hours=3)),
            "photos": photos,
            "photo_keywords": pl.DataFrame(self.keywords, schema=["photo_id", "keyword", "confidence"], orient="row"),
        }
        windows = {"train_start": BEFORE, "train_end": TEST_START, "validation_end": TEST_START, "test_end": TEST_END}
        commit(SPLITS, tables, windows | {"protocol": "80/20"})
        collected = [(IDS[i], name, at) for i, name, at in self.collections]
        schema = {"photo_id": pl.String, "collection_id": pl.String, "collected_at": pl.Datetime("us", "UTC")}
        hidden = pl.DataFrame(self.hidden, schema={"photo_id": pl.String, "country": pl.String}, orient="row")
        some = {"photos": photos.select("photo_id"), "conversions": tables["test"].select("photo_id")}
        tables = {"collections": pl.DataFrame(collected, schema=schema, orient="row"), "hidden": hidden, **some}
        commit(VALIDATED, tables, {})
        images = self._images()
        commit(IMAGES, {"images": images}, {})
        curves = pl.DataFrame({"arm": ["zero_shot"], "step": [0], "name": ["loss"], "value": [1.0]})
        arms = {
            arm: {"model_digest": f"model of {arm}", "uses_keywords": arm == FULL and self.reads_keywords}
            for arm in self.arms
        }
        commit(SEARCH_MODELS, {"curves": curves}, {"arms": arms, "challenger": FULL}, **IDENTITIES)
        commit(CHAMPION, {}, {"live": self.champion})
        found = pl.concat([self.vectors(arm, noise) for arm, noise in self.embedded.items()])
        digests = {arm: {"model_digest": f"model of {arm}"} for arm in self.embedded}
        tables = {"embeddings": found, "exemplars": self.exemplars}
        facts = {"arms": digests, "precision": "float32"}
        commit_tables(self.context, PHOTO_EMBEDDINGS, tables, facts=facts, shard_count=self.file_count)
        keys = [text_key(sha256, f"tower:float32:{DECODER_VERSION}") for sha256 in images["sha256"]]
        features = PICTURES.astype(np.float32)
        store = self.context.lake.store("photo_vectors", f"tower-float32-{DECODER_VERSION}")
        for part in (slice(0, 5), slice(5, COUNT)):
            named = keys[part]
            store.put(part_name(named), part_bytes(named, features[part], [None] * len(named)))
        return self.context

    @staticmethod
    def vectors(arm: str, noise: float) -> pl.DataFrame:
        column = pl.Series("vector", vectors(noise).tolist(), dtype=pl.List(pl.Float32))
        return pl.DataFrame({"photo_id": IDS}).with_columns(column, arm=pl.lit(arm))

    def commit_variant(self, name: str, splits: Manifest) -> None:
        tables = {"embeddings": self.vectors(name, 0.5)}
        commit_tables(self.context, VARIANT, tables, inputs={"splits": splits}, variant=name, repeat="0")

    def _images(self) -> pl.DataFrame:
        self.folder.mkdir(exist_ok=True)
        rows = []
        for number, photo_id in enumerate(IDS):
            fields = np.random.default_rng(number % (COUNT - 1)).integers(0, 256, (4, 4, 3), np.uint8)
            picture = Image.fromarray(fields).resize((64, 64), Image.Resampling.BICUBIC)
            buffer = io.BytesIO()
            picture.save(buffer, "JPEG", quality=60 if number == COUNT - 1 else 90)
            path = self.folder / f"{photo_id}.jpg"
            path.write_bytes(buffer.getvalue())
            rows.append((photo_id, "present", str(path), hashlib.sha256(buffer.getvalue()).hexdigest()))
        return pl.DataFrame(rows, schema=["photo_id", "status", "uri", "sha256"], orient="row")

    def _commit(
        self, dataset: Dataset, tables: dict[str, pl.DataFrame], facts: dict[str, Any], **files: bytes
    ) -> Manifest:
        return commit_tables(self.context, dataset, tables, facts=facts, files=files)


@pytest.fixture
def night(make_context: Contexts, tmp_path: Path) -> Night:
    return Night(make_context(), tmp_path / "photos")


def run(night: Night) -> tuple[RunContext, Manifest]:
    context = night.commit()
    return context, run_stage(context, "evaluate_similar", PARAMS)


def figures(
    context: RunContext, manifest: Manifest, truth: str, metric: str = "recall", k: int = 10
) -> dict[str, float]:
    rows = context.lake.read_table(manifest, "metrics").filter(truth=truth, metric=metric, k=k)
    return dict(rows.select("arm", "value").iter_rows())


def queries(context: RunContext, manifest: Manifest, truth: str) -> dict[str, int]:
    rows = context.lake.read_table(manifest, "queries").filter(truth=truth)
    return dict(rows.select("photo_id", "relevant_count").iter_rows())


def test_every_arm_is_measured_by_every_truth_and_near_duplicates_count_once(night: Night) -> None:
    context, manifest = run(night)
    for truth in TRUTHS:
        found = figures(context, manifest, truth)
        arms = {"random", "co_conversion", "keyword_overlap", ZERO_SHOT, FULL, BY_FILE}
        assert set(found) == arms - ({"keyword_overlap"} if truth == "keywords" else set())
        assert found[FULL] == 1.0  # all of a theme come first
        assert found[ZERO_SHOT] < 1.0
        assert found["random"] < 1.0
    assert queries(context, manifest, "co_conversion") == {IDS[i]: 2 for i in range(0, COUNT, 2)}
    copies = context.lake.read_table(manifest, "pictures").filter(pl.col("duplicate_of") != pl.col("photo_id"))
    pair = copies.select("photo_id", "duplicate_of").row(0)
    assert len(copies) == SimilarFacts.of(manifest).duplicate_count == 1
    assert set(pair) == {IDS[0], IDS[-1]}
    sheet = context.lake.read_table(manifest, "contact_sheet")
    assert not (sheet["photo_id"] == sheet["query_photo_id"]).any()
    assert set(sheet["arm"]) == {"co_conversion", "keyword_overlap", ZERO_SHOT, FULL, BY_FILE}
    of_full = sheet.filter(pl.col("arm") == FULL, pl.col("position") <= 4)
    assert all("keywords" in truths for truths in of_full["truths"])
    assert all(set(alike) <= set(pair) for alike in sheet["alike"])
    compared = context.lake.read_table(manifest, "comparisons").filter(truth="co_conversion", metric="recall", k=10)
    assert dict(compared.select("baseline", "difference").iter_rows())["random"] == pytest.approx(
        1 - figures(context, manifest, "co_conversion")["random"]
    )
    assert run_stage(context, "evaluate_similar", PARAMS).started_at == manifest.started_at


def lists(context: RunContext, manifest: Manifest, arm: str) -> list[tuple[Any, ...]]:
    sheet = context.lake.read_table(manifest, "contact_sheet").filter(arm=arm)
    return sheet.select("query_photo_id", "position", "photo_id", "score").rows()


def test_by_file_ranks_the_challengers_photos_by_their_cosine_to_the_picture_alone(night: Night) -> None:
    context, manifest = run(night)
    ours = lists(context, manifest, BY_FILE)
    picture_PD = PICTURES / np.linalg.norm(PICTURES, axis=1, keepdims=True)
    cosine_PP = picture_PD @ vectors(night.arms[FULL]).T
    for query, _, photo, score in ours:
        assert score == pytest.approx(cosine_PP[IDS.index(query), IDS.index(photo)], abs=1e-5)
    assert len(ours) == len(lists(context, manifest, FULL)) > 0
    assert ours != lists(context, manifest, FULL)
    values = [figures(context, manifest, "co_conversion", "ndcg")[arm] for arm in (FULL, BY_FILE, "random")]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == 3


def test_by_file_expects_the_keywords_of_other_photos_that_look_alike(night: Night) -> None:
    random = np.random.default_rng(5)
    added_PD = (2 * random.normal(size=PICTURES.shape)).astype(np.float32)
    columns = {"feature": PICTURES.astype(np.float32), "keyword_vector": added_PD}
    night.exemplars = pl.DataFrame(
        {"arm": FULL, "photo_id": IDS}
        | {name: pl.Series(rows.tolist(), dtype=pl.List(pl.Float32)) for name, rows in columns.items()}
    )
    context = night.commit()
    ours = lists(context, run_stage(context, "evaluate_similar", PARAMS), BY_FILE)
    first_P = np.where(np.arange(COUNT) == COUNT - 1, 0, np.arange(COUNT))  # the last is the very picture of the first
    exemplars = Exemplars(PICTURES.astype(np.float32), added_PD)
    asked_PD = exemplars.complete(PICTURES.astype(np.float32), first_P[:, None] == first_P[None])
    cosine_PP = asked_PD @ vectors(night.arms[FULL]).T
    assert len(ours) > 0
    for query, _, photo, score in ours:
        place, places = IDS.index(query), np.flatnonzero(first_P == first_P[IDS.index(photo)])
        assert score == pytest.approx(cosine_PP[place, places].max(), abs=1e-5)


def test_pictures_are_completed_in_one_order_so_that_every_run_gives_the_same_last_bit(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    completed: list[list[int]] = []

    def complete(exemplars: Exemplars, feature_BD: Any, left_out_BE: Any) -> Any:
        completed.append([int(np.abs(PICTURES - row_D).sum(axis=1).argmin()) for row_D in feature_BD])
        return feature_BD

    monkeypatch.setattr(Exemplars, "complete", complete)
    run_stage(night.commit(), "evaluate_similar", PARAMS)
    (order,) = completed
    corpus = [photo for photo in tie_order(IDS) if photo not in (0, COUNT - 1)]  # but the two of the same picture
    assert [photo for photo in order if photo] == corpus


def test_no_keyword_of_the_photo_searched_with_reaches_the_search_by_file(night: Night) -> None:
    context = night.commit()
    before = run_stage(context, "evaluate_similar", PARAMS)
    night.keywords = [(photo_id, f"another {word}", 0.6) for photo_id, word, _ in night.keywords]
    context = night.commit()
    after = run_stage(context, "evaluate_similar", PARAMS)
    assert after.run_id != before.run_id
    assert lists(context, after, BY_FILE) == lists(context, before, BY_FILE)
    assert lists(context, after, "keyword_overlap") != lists(context, before, "keyword_overlap")


def test_a_challenger_that_reads_no_keywords_is_the_same_by_file(night: Night) -> None:
    night.reads_keywords = False
    context = night.commit()
    assert BY_FILE not in SimilarFacts.of(run_stage(context, "evaluate_similar", PARAMS)).arms


def test_a_picture_that_is_not_in_the_store_any_more_stops_the_stage(night: Night) -> None:
    context = night.commit()
    store = context.lake.store("photo_vectors", f"tower-float32-{DECODER_VERSION}")
    store.clear()
    with raises(MissingInput, "features_removed", folder=store.folder):
        run_stage(context, "evaluate_similar", PARAMS)


@pytest.mark.parametrize(
    "spark_from_rows",
    [pytest.param(10**9, id="here"), pytest.param(1, id="Spark", marks=[pytest.mark.spark, pytest.mark.integration])],
)
def test_every_table_is_the_same_however_the_work_is_cut(
    night: Night,
    make_context: Contexts,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    spark_from_rows: int,
) -> None:
    night.hidden = [(IDS[2], None)]
    context = night.commit()
    whole = run_stage(context, "evaluate_similar", PARAMS)
    assert SimilarFacts.of(whole).duplicate_count == 1
    monkeypatch.setattr(task_pool, "_WORTH_A_PROCESS", 10**6)  # the sizes here are this process's alone
    for module, name, size in ((arm_blocks, "_PHOTOS", 2), (arm_lists, "_PLACES", 5), (pictures, "_PICTURES", 4)):
        monkeypatch.setattr(module, name, size)
    night.file_count = 4
    changed = settings.model_copy(update={"spark_from_rows": spark_from_rows})
    night.context = make_context(catalogue="cut", settings=changed)
    cut = run_stage(night.commit(), "evaluate_similar", PARAMS)
    for table in SIMILAR.tables:
        found = night.context.lake.read_table(cut, table.name)
        assert found.equals(context.lake.read_table(whole, table.name)), table.name


def test_what_one_visitor_took_is_noise_unless_one_is_asked_to_be_enough(night: Night) -> None:
    context = night.commit()
    assert IDS[1] not in queries(context, run_stage(context, "evaluate_similar", PARAMS), "co_conversion")
    one = PARAMS.model_copy(update={"min_visitors": 1})
    found = queries(context, run_stage(context, "evaluate_similar", one), "co_conversion")
    assert found[IDS[1]] == 3  # photos 0, 6 and 12, all of theme 0


def test_no_answer_is_from_training_and_none_from_after_the_test_window(night: Night) -> None:
    night.train += [(f"t{n}", "theme 0", i) for i in range(COUNT) for n in range(5)]
    night.collections += [(i, "one of tomorrow", TEST_END) for i in range(9)]
    context, manifest = run(night)
    assert queries(context, manifest, "co_conversion") == {IDS[i]: 2 for i in range(0, COUNT, 2)}
    assert queries(context, manifest, "collections") == {IDS[i]: 1 for i in range(6)}


def test_conversions_of_the_test_window_do_not_tell_the_counting_arm(night: Night) -> None:
    night.train = [("t", "nothing like it", 0)]
    context = night.commit()
    found = figures(context, run_stage(context, "evaluate_similar", PARAMS), "co_conversion")
    assert found["co_conversion"] < 1.0
    assert found[FULL] == 1.0


def test_photos_hidden_everywhere_are_neither_searched_with_nor_found(night: Night) -> None:
    night.hidden = [(IDS[2], None), (IDS[4], "GB")]
    context, manifest = run(night)
    assert SimilarFacts.of(manifest).hidden_count == 1
    found = queries(context, manifest, "co_conversion")
    assert IDS[2] not in found
    assert found[IDS[8]] == 1  # of theme 2 only photo 14 is left
    assert found[IDS[4]] == 2
    sheet = context.lake.read_table(manifest, "contact_sheet")
    assert IDS[2] not in {*sheet["photo_id"], *sheet["query_photo_id"], *sheet["alike"].explode()}


def test_a_truth_without_answers_says_so_and_nothing_left_out_is_measured(night: Night) -> None:
    night.collections = []
    context, manifest = run(night)
    assert SimilarFacts.of(manifest).truths["collections"].note.startswith("0 photos have an answer")
    assert set(context.lake.read_table(manifest, "metrics")["truth"]) == {"co_conversion", "keywords"}
    alone = run_stage(context, "evaluate_similar", PARAMS.model_copy(update={"truths": ("collections",)}))
    assert [alone.row_counts[name] for name in ("queries", "metrics", "contact_sheet")] == [0, 0, 0]
    without = run_stage(context, "evaluate_similar", PARAMS.model_copy(update={"query_count": 0}))
    assert SimilarFacts.of(without).note == "left out: query_count is 0"
    assert set(without.row_counts.values()) == {0}


def test_a_champion_that_saw_the_test_window_is_left_out(night: Night) -> None:
    night.champion = {
        "version": 7,
        "model_digest": f"model of {CHAMPION_ARM}",
        "trained_until": TEST_START,
        "selected_until": TEST_START,
    }
    night.embedded[CHAMPION_ARM] = 0.3
    _, manifest = run(night)
    assert CHAMPION_ARM in SimilarFacts.of(manifest).arms
    night.champion["trained_until"] = TEST_END
    manifest = run_stage(night.commit(), "evaluate_similar", PARAMS)
    assert CHAMPION_ARM not in SimilarFacts.of(manifest).arms
    assert "it has seen answers" in SimilarFacts.of(manifest).champion_note


def test_an_arm_that_is_unfinished_stops_the_stage(night: Night) -> None:
    del night.embedded[FULL]
    context = night.commit()
    with raises(MissingInput, "arm_not_embedded", arm=FULL):
        run_stage(context, "evaluate_similar", PARAMS)


def test_variants_of_the_ablation_are_further_arms(night: Night) -> None:
    context = night.commit()
    with_variant = PARAMS.model_copy(update={"variants": ("image_pairs",)})
    with raises(MissingInput, "stage_not_run", dataset="variant"):
        run_stage(context, "evaluate_similar", with_variant)
    splits = context.read(SPLITS)
    night.commit_variant("image_pairs", splits)
    manifest = run_stage(context, "evaluate_similar", with_variant)
    found = figures(context, manifest, "co_conversion")
    assert found[FULL] >= found["image_pairs"] > found["random"]
    night.test = night.test[2:]
    context = night.commit()
    with raises(BadInput, "variant_of_other_splits", variant="image_pairs"):
        run_stage(context, "evaluate_similar", with_variant)
    with pytest.raises(ValidationError, match="zero_shot"):
        EvaluateSimilarParams(variants=(ZERO_SHOT,))


def test_pictures_hashed_on_an_earlier_night_are_not_decoded_again(
    night: Night, make_context: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_stage(night.commit(), "evaluate_similar", PARAMS)
    night.context = make_context(run_date=date(2025, 12, 29))
    context = night.commit()
    monkeypatch.setattr(pictures, "_read_hash", lambda uri: pytest.fail(f"{uri} was read"))
    second = run_stage(context, "evaluate_similar", PARAMS)
    assert context.lake.read_table(second, "pictures").equals(context.lake.read_table(first, "pictures"))
    monkeypatch.undo()
    monkeypatch.setattr(pictures, "VERSION", "another")
    (night.folder / f"{IDS[3]}.jpg").unlink()
    with raises(MissingInput, "image_removed") as caught:
        run_stage(context, "evaluate_similar", PARAMS.model_copy(update={"min_visitors": 3}))
    assert caught.value.named["uri"].endswith(f"{IDS[3]}.jpg")
