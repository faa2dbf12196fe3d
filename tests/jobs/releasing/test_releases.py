"""What is live: releases that belong together, the ledger, promotion, rollback, readers, retention."""

from __future__ import annotations

import getpass
import json
import multiprocessing
import random
import threading
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.adapters import mlflow_registry
from jobs.commands import main
from jobs.config.params.arms import FULL, ZERO_SHOT
from jobs.config.params.release import MakeReleaseParams, RetentionParams
from jobs.config.params.training import TrainRerankerParams
from jobs.datasets.indexes import PHOTO_INDEX, PhotoIndexFacts
from jobs.datasets.models import RERANKER
from jobs.datasets.releases import RELEASE, ReleaseName
from jobs.errors import BadInput, LostWork, MissingInput
from jobs.lake.catalogue import Lake
from jobs.nights.stage_runner import run_stage
from jobs.releasing import fresh_counts, published_pointer
from jobs.releasing.ledger import Draft, Entry, Ledger, State, as_of
from jobs.releasing.promotion import promote, reject
from jobs.releasing.reader import ReleaseReader, open_release
from jobs.releasing.release_retention import collect
from jobs.releasing.rollback import rollback
from models.search.model import SearchModel
from models.search.query_model import QueryModel
from models.serving import embed_queries
from tests.conftest import Contexts, make_settings
from tests.errors import raises
from tests.fresh_counts import write_fresh_counts
from tests.registered import commit_log, make_model
from tests.release_readers import read_until
from tests.released import (
    BY,
    NOW,
    Registry,
    commit_index,
    commit_release,
    commit_releases,
    name_of,
    night,
    see_night,
    unit_vectors,
)
from tests.validated_lake import commit_tables


def found_photos(reader: ReleaseReader) -> set[str]:
    return {photo for photo, _ in reader.current.similar(unit_vectors(1, 5), 100)[0]}


# -- a release ---------------------------------------------------------------------------------------------


def test_a_release_links_to_what_it_is_made_of_and_says_which_runs(make_context: Contexts) -> None:
    context = make_context(run_date=night(1))
    release = commit_release(context)
    index = context.read(PHOTO_INDEX)
    described = json.loads(context.lake.read_file(release, "release.json"))
    assert {name for name in release.files if name.startswith("index/")} == set(index.files)
    assert release.tables["ids"] == index.tables["ids"]
    assert described["model"]["digest"] == described["index"]["model_digest"] == make_model(FULL).digest
    assert described["vocabulary"]["sha256"] == release.files["model/keywords.json"].sha256
    assert described["config"]["sha256"] == release.files["model/config.json"].sha256
    assert described["runs"]["photo_index"] == {"reference": index.reference, "digest": index.digest}
    assert set(described["runs"]) == {
        *("validated", "images", "splits", "search_models"),
        *("photo_embeddings", "query_embeddings", "photo_index", "reranker", "recommendation"),
    }
    assert release.facts == {
        "model_digest": make_model(FULL).digest,
        "arm": FULL,
        "recommender": {"note": "", "method": "popularity", "best": "popularity", "lead": None, "visitor_count": 1},
    }
    again = run_stage(make_context(run_date=night(1), run_id="again"), "make_release", MakeReleaseParams())
    assert again == release


def test_what_does_not_belong_together_is_not_released(make_context: Contexts) -> None:
    context = make_context(run_date=night(1))
    commit_release(context)
    released = context.read(RELEASE)
    commit_index(context, make_model(FULL, seed=1).digest, ["a", "b"])
    with raises(BadInput, "models_differ") as caught:
        run_stage(context, "make_release", MakeReleaseParams())
    models = caught.value.named["models"]
    assert models["photo_index"] != models["search_models"]
    assert context.read(RELEASE) == released

    commit_index(context, make_model(FULL).digest, ["a", "b"])
    commit_tables(context, RERANKER, params=TrainRerankerParams(), facts={"note": "too few", "base_arm": ZERO_SHOT})
    with raises(BadInput, "arms_differ", reranked=ZERO_SHOT, indexed=FULL):
        run_stage(context, "make_release", MakeReleaseParams())


def test_a_release_opens_whole_and_finds_its_photos(make_context: Contexts) -> None:
    context = make_context(run_date=night(1))
    release = commit_release(context)
    opened = open_release(context.lake, name_of(release), release.digest, with_pictures=True)
    assert isinstance(opened.model, SearchModel)
    assert opened.model.digest == make_model(FULL).digest
    assert opened.exemplars is not None
    words = open_release(context.lake, name_of(release), release.digest, with_model=True)
    assert words.exemplars is None
    assert type(words.model) is QueryModel
    assert (embed_queries(words.model, [("cat", "GB")]) == embed_queries(opened.model, [("cat", "GB")])).all()
    (found,) = opened.similar(unit_vectors(1, 0), 3)
    assert len(found) == 3
    assert all(photo.startswith("2025-12-01-1-") for photo, _ in found)


def test_what_the_site_hides_is_not_found_in_the_release_of_that_night(make_context: Contexts) -> None:
    context = make_context(run_date=night(1))
    commit_log(context, hidden=[("2025-12-01-1-0", None), ("2025-12-01-1-1", "DE"), ("gone", "FR")])
    opened = open_release(context.lake, name_of(commit_release(context)))
    query = unit_vectors(1, 0)
    found = {
        country: {photo.rpartition("-")[2] for photo, _ in opened.similar(query, 100, [country])[0]}
        for country in ("DE", "FR", "")
    }
    everything = {str(number) for number in range(9)}
    assert found == {"DE": everything - {"0", "1"}, "FR": everything - {"0"}, "": everything - {"0"}}
    assert len(opened.similar(query, 7)[0]) == 7  # hidden photos cost no results


@pytest.mark.parametrize(
    "part",
    [
        "release.json",
        "index/index.json",
        "index/shard-1970-01-01-1d-1of4.faiss",
        "model/model.safetensors",
        "model/keywords.json",
    ],
)
def test_a_release_of_which_a_byte_was_changed_is_refused(
    make_context: Contexts, registry: Registry, part: str
) -> None:
    context = make_context(run_date=night(1))
    release = commit_release(context)
    promote(context.settings, "test", 1, **BY)
    path = Path(context.lake.root) / release.files[part].path
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with raises(BadInput, "unusable_release") as caught:
        ReleaseReader(context.lake, with_model=True)
    cause = caught.value.__cause__
    code = "index_file_changed" if part.endswith(".faiss") else "stored_file_changed"
    assert (cause.code, Path(cause.named["path"]).name) == (code, path.name)


def test_another_release_under_the_published_name_is_refused(make_context: Contexts, registry: Registry) -> None:
    context = make_context(run_date=night(1))
    release = commit_release(context)
    promote(context.settings, "test", 1, **BY)
    manifest = Path(context.lake.root) / release.reference / "manifest.json"
    changed = json.loads(manifest.read_text())
    changed["files"].pop("model/keywords.json")
    manifest.write_text(json.dumps(changed))
    with raises(BadInput, "unusable_release", release=str(name_of(release))) as caught:
        ReleaseReader(context.lake)
    assert caught.value.__cause__.code == "release_changed"


# -- promotion and rollback --------------------------------------------------------------------------------


def test_a_promotion_moves_alias_and_pointer_and_is_noted(make_context: Contexts, registry: Registry) -> None:
    first, second = commit_releases(make_context, range(1, 3))
    settings, lake = make_context().settings, make_context().lake
    with raises(MissingInput, "nothing_published", lake=str(lake.root)):
        ReleaseReader(lake)
    see_night(make_context(run_date=night(1)))
    text = promote(settings, "test", "1", **BY)
    assert "is now version 1" in text
    assert "there was none" in text
    reader = ReleaseReader(lake)
    assert reader.current.name == name_of(first)
    assert reader.refresh() is False

    see_night(make_context(run_date=night(2)))
    promote(settings, "test", 2, by="bob", reason="clearly better", at=NOW)
    assert registry.champion == 2
    assert reader.refresh() is True
    assert {photo[:12] for photo in found_photos(reader)} == {"2025-12-02-2"}
    entries = Ledger(lake).entries()
    assert [(e.number, e.kind, e.by, e.reason, e.version, e.after_night) for e in entries] == [
        (1, "promoted", "ada", "better", 1, night(1)),
        (2, "promoted", "bob", "clearly better", 2, night(2)),
    ]
    assert entries[1].at == NOW
    assert entries[1].state.earlier == (name_of(first),)
    assert "already" in promote(settings, "test", 2, **BY)
    assert len(Ledger(lake).entries()) == 2
    assert entries[1].release == name_of(second)


def test_a_promotion_needs_a_reason_a_release_and_a_checked_version(make_context: Contexts, registry: Registry) -> None:
    context = make_context(run_date=night(1))
    with raises(BadInput, "no_reason"):
        promote(context.settings, "test", 1, by="ada", reason="  ", at=NOW)
    with raises(MissingInput, "version_without_release", version=1):
        promote(context.settings, "test", 1, **BY)
    commit_release(context)
    registry.tags[1]["load_check"] = "failed"
    with raises(BadInput, "version_not_checked", version=1):
        promote(context.settings, "test", 1, **BY)
    assert registry.champion is None
    assert Ledger(context.lake).entries() == []


def test_a_rollback_goes_back_and_further_back(make_context: Contexts, registry: Registry) -> None:
    settings, lake = make_context().settings, make_context().lake
    commit_releases(make_context, range(1, 4))
    with raises(BadInput, "nothing_to_go_back_to", catalogue="test"):
        rollback(settings, "test", **BY)
    for version in (1, 2, 3):
        promote(settings, "test", version, **BY)
    reader = ReleaseReader(lake)
    with raises(BadInput, "no_reason"):
        rollback(settings, "test", by="ada", reason="", at=NOW)
    for version in (2, 1):
        assert f"champion version {version}" in rollback(settings, "test", by="eve", reason="bad photos", at=NOW)
        assert registry.champion == version
        assert reader.refresh()
        assert reader.current.name.version == version
    with raises(BadInput, "nothing_to_go_back_to", catalogue="test"):
        rollback(settings, "test", **BY)
    promote(settings, "test", 3, **BY)
    rollback(settings, "test", **BY)
    assert (registry.champion, reader.refresh(), reader.current.name.version) == (1, False, 1)
    kinds = [entry.kind for entry in Ledger(lake).entries()]
    assert kinds == ["promoted"] * 3 + ["rolled_back"] * 2 + ["promoted", "rolled_back"]


def test_a_promotion_that_was_killed_is_finished_by_the_next_to_come(
    make_context: Contexts, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, lake = make_context().settings, make_context().lake
    commit_releases(make_context, range(1, 3))
    promote(settings, "test", 1, **BY)
    reader = ReleaseReader(lake)
    for where, name in ((mlflow_registry, "move_champion"), (published_pointer, "_write_pointer")):
        with monkeypatch.context() as patched:
            patched.setattr(where, name, lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                promote(settings, "test", 2, **BY) if where is mlflow_registry else rollback(settings, "test", **BY)
        assert reader.refresh() is False
        published_pointer.reconcile(settings, lake, NOW)
        assert reader.refresh() is True
        assert registry.champion == reader.current.name.version
    assert [entry.kind for entry in Ledger(lake).entries()] == ["promoted", "promoted", "rolled_back"]


def test_an_alias_moved_in_mlflow_is_noted_and_followed_but_publishes_nothing(
    make_context: Contexts, registry: Registry
) -> None:
    settings, lake = make_context().settings, make_context().lake
    commit_releases(make_context, range(1, 3))
    promote(settings, "test", 2, **BY)
    registry.champion = 1
    state = published_pointer.reconcile(settings, lake, NOW)
    assert (state.champion, state.release and state.release.version) == (1, 2)
    entry = Ledger(lake).entries()[-1]
    assert (entry.kind, entry.by, entry.version) == ("moved_outside", "unknown", 1)
    assert entry.reason == "alias champion was moved in MLflow from version 2 to version 1"
    assert published_pointer.reconcile(settings, lake, NOW) == state
    assert len(Ledger(lake).entries()) == 2
    assert ReleaseReader(lake).current.name.version == 2
    promote(settings, "test", 1, **BY)  # what the alias says already is now published too
    assert ReleaseReader(lake).current.name.version == 1
    registry.champion = None
    assert published_pointer.reconcile(settings, lake, NOW).champion is None


def test_the_command_line_says_who_and_why_and_what_happened(
    make_context: Contexts, registry: Registry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, lake = make_context().settings, make_context().lake
    commit_releases(make_context, range(1, 4))
    monkeypatch.setenv("NIGHTLENS_STATE_DIR", str(settings.state_dir))
    monkeypatch.setattr(getpass, "getuser", lambda: "ada")

    def call(*arguments: str) -> tuple[int, str]:
        status = main.main([*arguments, "--catalogue", "test"])
        said = capsys.readouterr()
        return status, (said.err if status else said.out).strip().splitlines()[-1]

    assert call("promote", "--version", "1")[1].startswith("nightlens promote: BadInput [no_reason]: ")
    for version in ("1", "2"):
        assert call("promote", "--version", version, "--reason", "better")[0] == 0
    assert call("rollback", "--reason=-- dark photos", "--by", "eve")[1].startswith("Rolled back: published is")
    status, said = call("reject", "--version", "3", "--reason", "worse")
    assert (status, said.startswith("nightlens reject: Rejected [rejected]: version 3 ")) == (2, True)
    assert "ada: worse" in said
    assert main.main(["ledger", "--catalogue", "test"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(entry["kind"], entry["by"], entry["reason"]) for entry in told] == [
        ("promoted", "ada", "better"),
        ("promoted", "ada", "better"),
        ("rolled_back", "eve", "-- dark photos"),
        ("rejected", "ada", "worse"),
    ]
    assert call("collect_releases", "--keep-days", "0", "--keep-count", "1") == (0, "2 runs removed")
    assert left(lake) == [1, 3]
    status, said = call("collect_releases", "--keep-count", "0")
    assert status == 2
    assert "BadInput [bad_parameters]: " in said
    assert "keep_count" in said


# -- the ledger --------------------------------------------------------------------------------------------


def draft(number: int, after_night: date | None = None) -> Draft:
    name = ReleaseName(run_date=night(1), run_id=f"r{number}", version=number)
    values = {"at": NOW, "by": "ada", "reason": "", "version": number, "release": name, "after_night": after_night}
    return Draft(kind="promoted", state=State(champion=number, release=name), **values)


def test_the_ledger_notices_what_was_changed_or_removed(make_context: Contexts) -> None:
    lake = make_context().lake
    ledger = Ledger(lake)
    for number in (1, 2, 3):
        ledger.append(lambda state, number=number: draft(number))
    assert [entry.version for entry in ledger.entries()] == [1, 2, 3]
    folder = Path(lake.store("ledger").folder)
    second = folder / "00000002.json"
    text = second.read_text()
    second.write_text(text.replace('"by": "ada"', '"by": "eve"').replace('"by":"ada"', '"by":"eve"'))
    with raises(BadInput, "damaged_ledger", entry="00000003.json"):
        Ledger(lake).entries()
    second.unlink()
    with raises(BadInput, "damaged_ledger", entry="00000003.json"):
        Ledger(lake).entries()
    second.write_text(text)
    assert [entry.version for entry in Ledger(lake).entries()] == [1, 2, 3]


def test_writers_at_once_lose_no_entry_and_break_no_chain(make_context: Contexts) -> None:
    lake = make_context().lake

    def write(writer: int) -> None:
        for number in range(25):
            Ledger(lake).append(lambda state, number=number: draft(100 * writer + number))

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = Ledger(lake).entries()
    assert sorted(entry.version or 0 for entry in entries) == sorted(100 * w + n for w in range(4) for n in range(25))
    assert [entry.state.since for entry in entries] == list(range(1, 101))


def test_a_night_knows_of_what_was_decided_before_it_ran(make_context: Contexts) -> None:
    ledger = Ledger(make_context().lake)
    for number, after in ((1, None), (2, night(5)), (3, night(5)), (4, night(9))):
        ledger.append(lambda state, number=number, after=after: draft(number, after))
    entries = ledger.entries()
    known = {day: as_of(entries, night(day)).champion for day in (1, 5, 6, 9, 10)}
    assert known == {1: 1, 5: 1, 6: 3, 9: 3, 10: 4}
    assert as_of([], night(1)) == State()


@given(st.lists(st.one_of(st.integers(1, 4), st.none()), max_size=30))
def test_what_is_live_is_what_a_pile_of_releases_says(steps: list[int | None]) -> None:
    """A promotion puts a release on the pile, taking it out from below; a rollback takes the topmost off."""
    names = [ReleaseName(run_date=night(1), run_id=f"r{n}", version=n) for n in range(5)]
    state, pile = State(), []
    for step in steps:
        if step is not None:
            pile = [one for one in pile if one != step] + [step]
            state = state.promoted(names[step])
        elif len(pile) > 1:
            pile = pile[:-1]
            state = state.rolled_back()
        assert [one.version for one in reversed(state.earlier)] == pile[:-1]
        assert state.champion == (pile[-1] if pile else None)


# -- retention ---------------------------------------------------------------------------------------------

STRICT = RetentionParams(keep_count=1, keep_days=0)


def left(lake: Lake) -> list[int]:
    return sorted(name_of(manifest).version for manifest in lake.manifests(RELEASE))


def test_collected_is_what_no_rule_keeps(make_context: Contexts, registry: Registry) -> None:
    settings, lake = make_context().settings, make_context().lake
    releases = commit_releases(make_context, range(1, 5))
    for version in (1, 2):
        promote(settings, "test", version, **BY)
    assert collect(lake, RetentionParams(keep_count=1, keep_days=10_000), NOW) == []
    assert (
        collect(lake, RetentionParams(keep_count=2, keep_days=0), NOW) == []
    )  # 1 and 2 are live and before, 3, 4 latest
    removed = collect(lake, STRICT, NOW)
    assert left(lake) == [1, 2, 4]
    assert releases[2].reference in removed
    assert [reference.split("/")[1] for reference in removed] == ["release", "photo_index"]
    assert len(list(lake.manifests(PHOTO_INDEX))) == 3
    with raises(MissingInput, "stage_not_run", dataset="photo_index"):
        make_context(run_date=night(3)).read(PHOTO_INDEX)
    assert collect(lake, STRICT, NOW) == []
    rollback(settings, "test", **BY)
    collect(lake, STRICT, NOW)
    assert left(lake) == [1, 4]  # 2 was rolled back, nobody goes back to it


def test_what_awaits_a_review_is_kept_until_it_is_decided(make_context: Contexts, registry: Registry) -> None:
    settings, lake = make_context().settings, make_context().lake
    first, _ = commit_releases(make_context, range(1, 3))
    name = name_of(first)
    Ledger(lake).append(
        lambda state: Draft(
            kind="review_opened", at=NOW, by="a", reason="", version=1, release=name, after_night=None, figures={}
        )
    )
    assert collect(lake, STRICT, NOW) == []
    reject(settings, "test", 1, **BY)
    promote(settings, "test", 2, **BY)
    with raises(BadInput, "version_is_live", version=2):
        reject(settings, "test", 2, **BY)
    collect(lake, STRICT, NOW)
    assert left(lake) == [2]


def test_an_index_that_another_run_links_to_is_kept_until_that_goes(make_context: Contexts, registry: Registry) -> None:
    lake = make_context().lake
    first, second, third = (make_context(run_date=night(n)) for n in (1, 2, 3))
    commit_release(first, version=1, seed=0)
    old = first.read(PHOTO_INDEX)
    staged = second.begin(PHOTO_INDEX, MakeReleaseParams(), {}, {"made_up": "the same shards"})
    staged.link_files(old, "index")
    staged.link_table(old, "ids")
    staged.commit(PhotoIndexFacts.of(old))
    commit_release(third, version=3, seed=2)
    collect(lake, RetentionParams(keep_count=2, keep_days=0), NOW)  # nights 1 and 3 have releases
    assert left(lake) == [1, 3]
    removed = collect(lake, STRICT, NOW)
    assert left(lake) == [3]
    assert old.reference in removed  # after the index of the second night, which linked to it
    assert [manifest.partition["run_date"] for manifest in lake.manifests(PHOTO_INDEX)] == ["2025-12-03"]


def test_a_release_that_is_being_published_is_not_collected_and_the_other_way_round(
    make_context: Contexts, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, lake = make_context().settings, make_context().lake
    first, _ = commit_releases(make_context, range(1, 3))
    with published_pointer.claimed(lake, name_of(first)):
        assert collect(lake, STRICT, NOW) == []
    monkeypatch.setattr(published_pointer, "_TRIES", 2)
    published_pointer.doomed(lake).put(published_pointer.key_of(name_of(first)), b"")  # a collection that was cut off
    with raises(LostWork, "release_being_removed", release=str(name_of(first))):
        promote(settings, "test", 1, **BY)
    assert registry.champion is None
    collect(lake, STRICT, NOW)
    assert left(lake) == [2]
    assert published_pointer.doomed(lake).names() == []
    assert published_pointer.claims(lake).names() == []


# -- an object store ---------------------------------------------------------------------------------------


def test_all_of_it_works_on_an_object_store(tmp_path: Path, make_context: Contexts, registry: Registry) -> None:
    settings = make_settings(tmp_path / "remote", lake_uri=f"memory://{tmp_path.name}/lake")
    contexts = [make_context(settings=settings, run_date=night(n)) for n in (1, 2, 3)]
    for number, context in enumerate(contexts, start=1):
        commit_release(context, version=number, seed=number - 1)
    lake = contexts[0].lake
    assert not lake.is_local
    promote(settings, "test", 1, **BY)
    reader = ReleaseReader(lake, with_model=True)
    promote(settings, "test", 2, **BY)
    assert reader.refresh()
    assert {photo[:12] for photo in found_photos(reader)} == {"2025-12-02-2"}
    rollback(settings, "test", **BY)
    assert reader.refresh()
    collect(lake, STRICT, NOW)
    assert left(lake) == [1, 3]
    assert [entry.number for entry in Ledger(lake).entries()] == [1, 2, 3]


# -- readers while everything moves ------------------------------------------------------------------------


def swap_counts(lake: Lake, chance: random.Random) -> None:
    """Make other counts current, more often than not; now and then remove the others, or all of them."""
    if chance.random() < 0.6:
        made = write_fresh_counts(lake, chance.randint(1, 50))
        if chance.random() < 0.2:
            fresh_counts.remove_but(lake, [made.name] if chance.random() < 0.5 else [])


@pytest.mark.parametrize(
    ("swap_count", "reader_count"),
    [
        pytest.param(200, 1, marks=pytest.mark.integration),
        pytest.param(1000, 2, marks=[pytest.mark.slow, pytest.mark.timeout(1800)]),
    ],
)
def test_no_read_fails_or_mixes_while_releases_and_counts_are_swapped_and_collected(
    make_context: Contexts, registry: Registry, swap_count: int, reader_count: int
) -> None:
    settings, lake = make_context().settings, make_context().lake
    readers: list[Any]
    releases = commit_releases(make_context, range(1, 5))
    promote(settings, "test", 1, **BY)
    spawn = multiprocessing.get_context("spawn")
    stop, results, ready = spawn.Event(), spawn.Queue(), spawn.Semaphore(0)
    arguments = (settings.lake_uri, "test", ready, stop, results)
    readers = [spawn.Process(target=read_until, args=arguments) for _ in range(reader_count)]
    readers += [threading.Thread(target=read_until, args=arguments) for _ in range(reader_count)]
    for reader in readers:
        reader.start()
    for _ in readers:
        assert ready.acquire(timeout=120)
    chance, swaps, collected = random.Random(7), 0, 0
    while swaps < swap_count:
        number = chance.randint(1, 4)
        release = releases[number - 1]
        try:
            if chance.random() < 0.3:
                rollback(settings, "test", **BY)
            else:
                if lake.find(RELEASE, release.partition, release.run_id) is None:
                    commit_release(make_context(run_date=night(number)), version=number, seed=number - 1)
                promote(settings, "test", number, **BY)
            swaps += 1
        except (BadInput, MissingInput):  # nothing to go back to, or it was collected: a person would be told
            continue
        swap_counts(lake, chance)
        if chance.random() < 0.3:
            collected += len(collect(lake, STRICT, NOW + timedelta(days=1)))
    stop.set()
    outcomes = [results.get(timeout=60) for _ in readers]
    for reader in readers:
        reader.join(60)
    assert [outcome for outcome, _ in outcomes] == ["read"] * len(readers), outcomes
    assert all(count > 10 for _, count in outcomes), outcomes
    assert collected > 20
    head = Ledger(lake).head()
    assert isinstance(head, Entry)
    assert ReleaseReader(lake).current.name == head.state.release
    assert registry.champion == head.state.champion
    assert np.all(np.diff([entry.number for entry in Ledger(lake).entries()]) == 1)
