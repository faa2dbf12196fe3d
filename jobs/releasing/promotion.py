"""Decisions on what is live: open a review, promote, reject. The command line and the DAG call the same functions.

A decision is one entry in the promotion ledger; alias and published release follow it. Nothing else in Nightlens
makes a model live but `jobs.releasing.rollback`, which takes back.
"""

from __future__ import annotations

import shlex
from datetime import date, datetime
from pathlib import Path
from typing import Any

from jobs.adapters import mlflow_connection, mlflow_registry
from jobs.adapters.local_services import mlflow_address, mlflow_command
from jobs.adapters.mlflow_registry import RELEASE_TAG
from jobs.adapters.mlflow_runs import report_page
from jobs.config.settings import Settings
from jobs.datasets.evaluation import EVALUATION, EvaluationFacts
from jobs.datasets.models import REGISTRATION, RegistrationFacts
from jobs.datasets.releases import GATE, RELEASE, GateFacts, ReleaseName
from jobs.errors import BadInput, MissingInput
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.releasing.ledger import Draft, Kind, Ledger, State
from jobs.releasing.published_pointer import claimed, last_night, name_of, reconcile, settle


def promote(
    settings: Settings,
    catalogue: str,
    version: str | int,
    *,
    by: str,
    reason: str,
    at: datetime,
) -> str:
    """Make a registered version the champion, publish its release, and return what changed.

    Raises `BadInput` for a version that is not registered (and lists those that are), that never passed the check of
    `register_model`, or without a reason; `MissingInput` if its release is gone.
    """
    check_reason(reason)
    chosen = _registered(settings, catalogue, version)
    lake = Lake(settings.lake_uri, catalogue)
    release = _release_of(lake, chosen)
    name = name_of(release, chosen.number)
    before = reconcile(settings, lake, at)

    def draft(state: State) -> Draft | None:
        if state.release == name and state.champion == name.version:
            return None
        return _draft(lake, "promoted", name, by, reason, at, state.promoted(name))

    with claimed(lake, name):
        entry = Ledger(lake).append(draft)
        settle(settings, lake)
    if entry is None:
        return f"The champion of {chosen.name} is version {chosen.number} already, its release {name} is published."
    was = "there was none" if before.champion is None else f"it was version {before.champion}"
    return (
        f"The champion of {chosen.name} is now {describe(chosen)}; {was}. Published is the release {name} "
        f"(entry {entry.number} of the promotion ledger). The next night compares with it."
    )


def open_review(settings: Settings, catalogue: str, *, by: str, at: datetime, run_date: date | None) -> dict[str, Any]:
    """Note in the ledger that a candidate awaits a decision; return what the reviewer is shown.

    The candidate is that of the night of `run_date`, or of the latest night that was gated. Until it is decided on,
    it is not collected. Keys: catalogue, version, run_date, subject, body (Markdown).
    """
    lake = Lake(settings.lake_uri, catalogue)
    gate = _gate_of(lake, run_date)
    judged = GateFacts.of(gate)
    name = judged.release
    with claimed(lake, name):
        Ledger(lake).append(lambda state: _draft(lake, "review_opened", name, by, "", at))
    registration = RegistrationFacts.of(lake.current(REGISTRATION, name.partition))
    return {
        "catalogue": catalogue,
        "version": str(name.version),
        "run_date": name.run_date.isoformat(),
        "subject": f"{catalogue}: make version {name.version} of {name.run_date} live? Gate: {judged.outcome}",
        "body": _body(settings, lake, gate, registration),
    }


def reject(
    settings: Settings,
    catalogue: str,
    version: str | int,
    *,
    by: str,
    reason: str,
    at: datetime,
) -> str:
    """Note in the ledger that a candidate was rejected, and return that; `BadInput` if it is live."""
    lake = Lake(settings.lake_uri, catalogue)
    chosen = _registered(settings, catalogue, version)
    name = name_of(_release_of(lake, chosen), chosen.number)
    if Ledger(lake).state().release == name:
        raise BadInput(
            "version_is_live",
            f"version {version} of {catalogue} is live, so it cannot be rejected. To take it back: nightlens rollback "
            f"--catalogue {catalogue} --reason WHY",
            version=version,
        )
    entry = Ledger(lake).append(lambda state: _draft(lake, "rejected", name, by, reason, at))
    assert entry is not None, "a rejection is always written"
    why = f": {reason}" if reason else ""
    return f"version {version} of {catalogue} was rejected by {by}{why} (entry {entry.number} of the promotion ledger)"


def describe(entry: mlflow_registry.Version) -> str:
    """Return a version in words."""
    tags = entry.tags
    hit_rate = f", hit rate@10 {tags['hit_rate_at_10']}" if "hit_rate_at_10" in tags else ""
    return f"version {entry.number} ({tags.get('run_date', 'no date')}, {tags.get('arm', 'no arm')}{hit_rate})"


def check_reason(reason: str) -> None:
    """Raise `BadInput` unless somebody said why."""
    if not reason.strip():
        raise BadInput(
            "no_reason", "say why, in a few words: the promotion ledger keeps it (--reason, or the field of the form)"
        )


def _registered(settings: Settings, catalogue: str, version: str | int) -> mlflow_registry.Version:
    known = {entry.number: entry for entry in mlflow_registry.versions(settings, catalogue)}
    name = mlflow_connection.model_name(catalogue)
    if not known:
        raise BadInput(
            "no_such_model",
            f"no model {name!r} is registered in MLflow at {settings.public_tracking_uri}: run a night",
            model=name,
        )
    chosen = known.get(int(version)) if str(version).isdecimal() else None
    if chosen is None:
        listed = "".join(f"\n  {describe(entry)}" for entry in known.values())
        raise BadInput(
            "no_such_version",
            f"{name} has no version {version!r}. Registered are:{listed}",
            model=name,
            version=version,
        )
    if chosen.tags.get("load_check") != "passed":
        raise BadInput(
            "version_not_checked",
            f"{name} version {chosen.number} never passed the check of register_model: take another",
            model=name,
            version=chosen.number,
        )
    return chosen


def _release_of(lake: Lake, version: mlflow_registry.Version) -> Manifest:
    """Return the release that a version is."""
    run_date, _, run_id = version.tags.get(RELEASE_TAG, "").partition("/")
    release = lake.find(RELEASE, {"run_date": run_date}, run_id) if run_id else None
    if release is None:
        raise MissingInput(
            "version_without_release",
            f"the release of version {version.number} of {version.name} is not below {lake.root}: it was removed, or "
            f"an earlier version of Nightlens registered the version. Run its night ({version.tags.get('run_date')}) "
            f"again, or take another version.",
            version=version.number,
        )
    return release


def _gate_of(lake: Lake, run_date: date | None) -> Manifest:
    if run_date is not None:
        return lake.current(GATE, {"run_date": run_date.isoformat()})
    gates = lake.history(GATE)
    if not gates:
        raise MissingInput(
            "no_night_yet",
            f"no night below {lake.root} has a candidate to be reviewed: run a night",
            lake=str(lake.root),
        )
    return gates[-1]


def _draft(
    lake: Lake, kind: Kind, name: ReleaseName, by: str, reason: str, at: datetime, state: State | None = None
) -> Draft:
    return Draft(
        kind=kind,
        at=at,
        by=by,
        reason=reason,
        version=name.version,
        release=name,
        after_night=last_night(lake),
        figures=_figures(lake, name),
        state=state,
    )


def _figures(lake: Lake, name: ReleaseName) -> dict[str, Any]:
    """Return verdict and figures of the gate that judged this release; empty if none has."""
    gates = (GateFacts.of(gate) for gate in lake.history(GATE) if gate.partition == name.partition)
    gate = next((gate for gate in gates if gate.release.run_id == name.run_id), None)
    return {} if gate is None else {"gate": gate.outcome, "reasons": gate.reasons, **gate.figures.as_json()}


def _trial(catalogue: str, run_date: str) -> str:
    """Return a command line that searches in the candidate of a night and in what is live."""
    return shlex.join(["nightlens", "search", "cat", "--catalogue", catalogue, "--run-date", run_date, "--open"])


def _mlflow_address(settings: Settings, registration: RegistrationFacts) -> str | None:
    """Return the address of the server that shows a registration's store, None if none is known."""
    store = registration.tracking_uri
    if store.startswith("http"):
        return store.rstrip("/")
    return mlflow_address(settings) if store == settings.public_tracking_uri else None


def _run_page(settings: Settings, registration: RegistrationFacts) -> str | None:
    """Return the address of the night's run, None if no server is known to show it."""
    address, page = _mlflow_address(settings, registration), registration.run_page
    return address and (page if page.startswith("http") else f"{address}{page}")


def _in_mlflow(settings: Settings, registration: RegistrationFacts) -> str:
    """Return where a version is shown: addresses, or the store that no known server shows and how to open it."""
    model, version, store = registration.model_name, registration.version, registration.tracking_uri
    address = _mlflow_address(settings, registration)
    if address is not None:
        page = f"{address}/#/models/{model}/versions/{version}"
        return f"{model} version {version}: {page}, the night's run: {_run_page(settings, registration)}"
    shown = f"{registration.in_words}, in the store `{store}`"
    if store != settings.public_tracking_uri:
        return f"{shown}, which is not the one of these settings: `{settings.public_tracking_uri}`"
    return f"{shown}. No server is known to show it: start one with `{mlflow_command(settings)}`"


def _report(settings: Settings, registration: RegistrationFacts, file: Path) -> str:
    """Return the address of the night's report in MLflow, or its file where no server is known to show it.

    Browsers follow no link from a served page to a file.
    """
    run_page = _run_page(settings, registration)
    return f"the file `{file}`" if run_page is None else report_page(run_page)


def _body(settings: Settings, lake: Lake, gate: Manifest, registration: RegistrationFacts) -> str:
    """Return what the reviewer reads: verdict, findings, where all the rest is, and how to try a search."""
    evaluation = EvaluationFacts.of(lake.current(EVALUATION, gate.partition))
    findings = lake.read_table(gate, "findings").iter_rows()
    report = settings.report_dir / lake.catalogue / f"{gate.partition['run_date']}.html"
    rows = [f"| {outcome} | {check} | {figure} | {limit} |" for check, outcome, figure, limit, _ in findings]
    return "\n".join(
        [
            f"**{GateFacts.of(gate).sentence}**",
            "",
            evaluation.verdict.sentence,
            "",
            f"- Report: {_report(settings, registration, report)}",
            "- Contact sheet, photos found side by side: in the report, under *What people would see*",
            f"- MLflow: {_in_mlflow(settings, registration)}",
            f"- Try a search beside what is live: `{_trial(lake.catalogue, gate.partition['run_date'])}`",
            "",
            "| outcome | check | figure | limit |",
            "|---|---|---|---|",
            *rows,
        ]
    )
