"""The codes of the errors a user sees, each with what to do; and the page of them, docs/ERRORS.md.

`python -m jobs.error_codes > docs/ERRORS.md` writes the page. Which codes and kinds there are comes from the source,
by its syntax: nothing is imported. Neither the errors nor a stage import this module, so that a better advice is no
other code to them. What one error says of its own case (which file, which night) is its text, where it is raised.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

CODES: dict[str, str] = {
    "airflow_failed": "Read Airflow's own words below the error. `make down`, then `make up`, starts it anew.",
    "airflow_refused": "Mend the parameter that Airflow names, and start the run again.",
    "architecture_unsupported": "Take a model of open_clip that is no CoCa and has no text tower of transformers.",
    "arm_not_embedded": "Run embed_photos and embed_queries again, or name an arm that was embedded.",
    "arm_not_trained": "Run train_search again and name the arm in --arms.",
    "arms_differ": "Run the stages that the error names again, with one `--arm` for all.",
    "augmentation_unknown": "Name augmentations that exist; the text lists them.",
    "bad_address": "Correct the address in the setting that the error names, and try it: `nightlens try_notifiers`.",
    "bad_dataset_file": "Correct the keys of dataset.toml that the message names.",
    "bad_dataset_address": "Name a folder, or an address whose Python library is installed.",
    "bad_catalogue_name": "Give the catalogue another name: small letters, digits, `-` and `_`.",
    "bad_mapping": "Correct the keys that the error names; docs/CATALOGUES.md describes each.",
    "bad_parameters": "Correct the parameters that the error names; `nightlens <command> --help` describes each.",
    "bad_setting": "Correct the variable that the error names; `jobs/config/settings.py` describes each.",
    "batch_without_pairs": "Train in fewer processes, or with larger batches.",
    "changed_meanwhile": "Look at what is live now (`nightlens ledger`), and decide again.",
    "checkpoint_damaged": "Remove the checkpoint and run the same command again: it trains from the beginning.",
    "checkpoint_of_other_model": "Remove the checkpoint and run the same command again: it trains from the beginning.",
    "checkpoint_of_other_training": "Remove the checkpoint, or train with the parameters, data and model it is of.",
    "colliding_ids": "Choose another prefix for that source in the mapping.",
    "count_out_of_range": "Ask for a number in the range that the error gives.",
    "dag_not_read": "Mend the import error that Airflow reports, then run `make down` and `make up`.",
    "damaged_file": "Restore the file from a copy, or delete the run that it belongs to and rerun that stage.",
    "damaged_ledger": "Restore the folder of the promotion ledger from a copy: its entries are never written again.",
    "damaged_manifest": "Delete the manifest and rerun the stage, which makes the run anew.",
    "damaged_model": "Run the stage that saved the model again.",
    "damaged_pointer": "Delete the pointer: what wrote it writes it again.",
    "damaged_run_pointer": "Delete the pointer and rerun the stage, which writes it again.",
    "data_docs_changed": "Install the version of Great Expectations that the project asks for: `make setup`.",
    "disk_full": "Free some room and run the same command again; what was not committed does not count.",
    "empty_file": "Put the table there, its first line naming the columns, or remove the file.",
    "empty_query": "Give the words to search for.",
    "empty_table": "Put the rows of the table into its file.",
    "empty_window": "Choose another run date, or lengthen the window that the error names.",
    "endless_line": "Check that the file's header names all columns, and that its delimiter is the header's.",
    "engines_disagree": "Write the rule so that Polars and Great Expectations read it alike; nothing was committed.",
    "event_past_cutoff": "Run split_temporal and audit_leaks again.",
    "examination_unknown": "Add a log of impressions to the data set, or train without estimated positions.",
    "experiment_deleted": "Restore the experiment in MLflow.",
    "features_removed": "Run embed_photos again with another --part-size: it embeds what is missing.",
    "folder_not_empty": "Name a new folder, or delete this one first.",
    "facts_of_other_version": "Run the night again whose run the error names.",
    "foreign_version": "Delete that version in MLflow and rerun register_model: it may hold a pickle.",
    "forgotten_meanwhile": "Run refresh_counts again: it leaves the visitor out.",
    "future_in_reach": "Run split_temporal and audit_leaks again; if it goes on, the training's code is at fault.",
    "hard_share_without_negatives": "Give both hard negatives and a share of them above 0, or neither.",
    "image_removed": "Put the image back, or run fetch_images again.",
    "incomplete_rule": "Give the expectation a `meta.reason` and a `meta.severity`, as the others of its suite have.",
    "index_counts_differ": "Delete that run of the index and rerun build_index.",
    "index_description_unreadable": "Copy the index again, or run build_index again.",
    "index_file_changed": "Copy the index again, or run build_index again.",
    "index_file_missing": "Copy the index again, or run build_index again.",
    "index_files_disagree": "Run build_index again.",
    "index_limit_missed": "Raise nprobe or ef_search of build_index, take another kind, or move the limit.",
    "index_of_other_model": "Open the index with the model that made its vectors, or run build_index again.",
    "inputs_outdated": "Rerun the stage that the error names, so that it is made from what is current.",
    "java_out_of_memory": "Give Spark's driver more memory (`NIGHTLENS_SPARK_DRIVER_MEMORY`), and run the same again.",
    "keyword_rows_differ": "Keep the number of shared keyword rows, or train the model anew.",
    "leak_found": "Train nothing on these splits. Rerun split_temporal; if a check fails again, its query is at fault.",
    "ledger_busy": "Run the same command again.",
    "line_break_in_id": "Close the quote in that row or in one before it.",
    "log_shrank": "Look whether the log's export is whole, and run refresh_counts again.",
    "loads_differently": "Delete that version in MLflow and rerun register_model.",
    "loss_not_finite": "Train with a lower learning rate.",
    "loss_unknown": "Name a loss that exists; the text lists them.",
    "message_not_sent": "Check that address in NIGHTLENS_NOTIFY_URLS, and that its host can be reached.",
    "missing_columns": "Name the columns in the file's first line, or name other columns in the mapping or the flags.",
    "missing_ranks": "Run the stage again that ranked the queries.",
    "missing_values": "Leave these rows out of the log, or write what they lack.",
    "mlflow_out_of_reach": "See that the server runs, or that the database has room, and run the same command again.",
    "mlflow_refused": "Check `NIGHTLENS_TRACKING_URI`, the password, and who may write to the database.",
    "model_changed": "Restore the model's files from a copy, or rerun the stage that made them.",
    "model_config_missing": "Put the model's open_clip_config.json beside its weights.",
    "model_download_failed": "Check the connection, or copy the model's folder here and name the folder.",
    "model_file_unreadable": "Copy the model again, or run the stage that made it again.",
    "model_files_disagree": "Copy the whole model again: its files are of different models.",
    "model_reads_no_keywords": "Take a model that was trained with keywords.",
    "model_source_unknown": "Name a folder or file that exists, or a tag MODEL/PRETRAINED of open_clip.",
    "model_weights_missing": "Put the model's weights in safetensors format into its folder.",
    "models_differ": "Rerun the stages that the error names, so that all are made from one model.",
    "night_failed": "Read the reason and the log that the error names, mend it, and run the same command again.",
    "night_not_published": "Look at that night in Airflow: it runs late, has failed, or never began.",
    "no_browser": "Open the page that the error names in a browser.",
    "no_catalogue_name": "Give the catalogue a name: `--catalogue`.",
    "no_catalogue_named": "Name the catalogue: `--catalogue`, or `--dataset` with its folder.",
    "no_conversion_with_image": "Lengthen the window, or run fetch_images again to get the images that are missing.",
    "no_cutoff": "Name the metric with its cutoff, such as hit_rate@10.",
    "no_described_photo": "Take a preset that begins with a pretrained model, such as PRESET=vit-b-16-siglip.",
    "no_header_line": "Write the names of the columns into the first line, or give their numbers by the flags.",
    "no_words_for_photos": "Describe the photos, or take a preset that begins with a pretrained model.",
    "no_earlier_models": "Run this night with --retrain always.",
    "no_java": "Run `make setup`, or install Java 17 or newer.",
    "no_method_kept": "Run evaluate_recommenders of that night again, or name another night.",
    "no_method_measured": "Run evaluate_recommenders of that night again, or name a method: `--method`.",
    "no_mlflow_run": "Restore MLflow's database, or delete that night's `registration` and rerun register_model.",
    "no_name_in_report": "Describe the arm or variant in the module that the error names.",
    "night_not_validated": "Name by --run-date one of the nights that the text lists.",
    "no_night_yet": "Run a night to its end: `make nightly`.",
    "no_pairs_to_train_on": "Lengthen the training window of split_temporal.",
    "no_photo_with_image": "Look at the reasons in the table of images, and run fetch_images again.",
    "no_picture_decoded": "Look at the images: none of a batch could be read.",
    "no_readable_date": "Write times as 2025-12-28 23:59:11.554 in the column that the error names.",
    "no_reason": "Say why, in a few words: the promotion ledger keeps it.",
    "no_report_page": "Publish the report of that night again: `nightlens publish_report`.",
    "no_released_recommender": "Run evaluate_recommenders and make_release again, and promote what they make.",
    "no_room_for_pixels": "Allow more bytes for pixels than one photo takes.",
    "no_run_date": "Say of which night it is: `--run-date YYYY-MM-DD`.",
    "no_search_model": "Name the folder of a search model, or copy the model again.",
    "no_such_catalogue": "Name one of the catalogues that the error lists, or run a night.",
    "no_such_figure": "Name an arm, metric and cutoff that were evaluated, or run evaluate with them.",
    "no_such_file": "Check the path, and name a file that is there.",
    "no_such_folder": "Check the path, and name a folder that is there, in the Unsplash layout.",
    "no_such_kind": "Name one of the kinds of index that the error lists.",
    "no_such_method": "Name one of the methods that the error lists.",
    "no_such_metric": "Run evaluate with the arm that was registered.",
    "no_such_model": "Run a night, which registers a model, and check that `NIGHTLENS_TRACKING_URI` is its MLflow.",
    "no_such_night": "Name a night that has run, or run that one first.",
    "no_such_photo": "Check the photo's id, and name one that is in the catalogue.",
    "no_such_preset": "Name one of the presets that the error lists.",
    "no_such_query": "Name one of the queries that the error lists; each is a file in sql/.",
    "no_such_release": "Take another release, or rerun make_release for its night.",
    "no_such_run": "Check the reference: dataset, partition and run id, as a manifest names its inputs.",
    "no_such_table": "Put the table's file into the folder, under the name that the error gives.",
    "no_such_version": "Promote a version that is registered.",
    "no_such_visitor": "Give the id exactly as it stands in the log; `recommend` takes photos instead: `--photo`.",
    "no_usable_photo": "Compare the mapping with the reasons that the error counts.",
    "no_usable_row": "Compare the mapping with the reasons that the error counts, and ids with those of photos.",
    "no_validation_window": "Set aside validation days with --validation-days of split_temporal.",
    "not_a_date": "Write the date as YYYY-MM-DD.",
    "not_a_picture": "Give a picture in one of the formats that the error lists.",
    "not_a_release": "Name a release that make_release committed.",
    "not_a_release_name": "Write YYYY-MM-DD, YYYY-MM-DD/<run id>, or published.",
    "not_a_time": "Write times as ISO 8601, such as 2025-12-28T10:00:00Z.",
    "not_in_quarantine": "Name a table and a reason that the text lists, or leave --table and --reason out.",
    "not_in_run": "Rerun the stage that made the run: another version of the code wrote it.",
    "not_incremental": "Run that night with `--retrain incremental`.",
    "not_utf8": "Type what you pass in UTF-8.",
    "nothing_published": "Promote a release: `nightlens promote`.",
    "nothing_to_cut": "Choose a later run date: the log has no row before this one that could be used.",
    "nothing_to_go_back_to": "Promote another version instead: `nightlens promote`.",
    "nothing_to_go_by": "Take another method: `--method`.",
    "nothing_to_learn_from": "Give a log in which something is liked before its test window, or leave the method out.",
    "object_store_out_of_reach": "Run the same command again when the object store answers.",
    "object_store_refused": "Give the object store's credentials and address in the environment; the text names them.",
    "odd_table_size": "Look at the data set's files; if they are meant so, raise `--max-size-ratio` of that night.",
    "one_query_needed": "Give words, the file of a picture, or the id of a photo, and one of them only.",
    "out_of_memory": "Run the same command again when less else runs on this machine.",
    "params_differ": "Run train_variant again, with the same parameters for all variants.",
    "partners_unknown": "Give the training data what was taken for the same query, or train without partners.",
    "past_not_usable": "Leave the visitor and the photos taken out of a search by a picture, and give one of both.",
    "photo_outside_pool": "Run split_temporal and audit_leaks again; if it goes on, the training's code is at fault.",
    "photo_without_picture": "Name another photo, or give a file: `--image`.",
    "photos_outside_corpus": "Run split_temporal again.",
    "pointer_keeps_changing": "Wait until nobody promotes or rolls back, and run the same command again.",
    "port_taken": "Choose another port, by the variable that the error names.",
    "preprocessing_unsupported": "Take a model whose preprocessing is supported.",
    "pretrained_tag_unknown": "Name one of the weights that the text lists.",
    "query_out_of_memory": "Give queries more memory (`NIGHTLENS_QUERY_MEMORY_MB`), and run the same again.",
    "recommender_damaged": "Restore the folder from a copy, or learn and save again.",
    "recommender_incomplete": "Restore the folder from a copy, or learn and save again.",
    "recommender_not_saved": "Save a recommender there first, or name the folder of one.",
    "recommender_of_other_code": "Learn and save again with this version of the code.",
    "rejected": "Nothing: somebody decided against this candidate. The promotion ledger says who, and why.",
    "release_of_older_version": "Run that night again, or a later one, and promote what it makes.",
    "release_being_removed": "Take another release.",
    "release_not_registered": "Run register_model again, which registers the night's release.",
    "release_changed": "Restore the release from a copy, or publish another: `nightlens rollback`.",
    "repeated_column": "Rename or remove one of the two columns.",
    "repeated_file": "Remove one of the two files.",
    "repeated_part": "Move one of the two files away.",
    "reranker_of_other_features": "Run train_reranker again.",
    "reranker_trained_too_late": "Run train_reranker again.",
    "row_counts_differ": "Run the stage again. If the counts differ again, the code that validates is at fault.",
    "rule_not_of_rows": "Write the expectation about single rows, of a type, arguments and a column as the error says.",
    "service_ended": "Read the log that the error names, mend the reason, and run `make up` again.",
    "service_silent": "Read the logs that the error names; run `make down`, then `make up` again.",
    "services_already_up": "Use them as they are, or stop them first: `make down`.",
    "source_changed": "Run the same command again when nobody writes to the data set.",
    "splits_differ": "Run the stages or nights again that the error names, on the splits that are current.",
    "stage_failed": "Read the reason in the lines above the error, mend it, and run the same command again.",
    "stage_not_run": "Run the stage that makes the dataset; `nightlens --help` lists the stages in order.",
    "storage_refused": "Let the user who runs this read and write there (mount options, owner, disk).",
    "stored_file_changed": "Restore the file from a copy, or delete its run's folder and rerun the stage.",
    "stored_file_gone": "Restore the file from a copy, or delete its run's folder and rerun the stage.",
    "stored_part_damaged": "Delete the file and run the same command again, which computes its rows anew.",
    "stored_part_removed": "Run the same command again: it computes the rows anew.",
    "table_came_out_empty": "Look at the rows of the stage's inputs.",
    "table_in_two_forms": "Keep the files of one form, and move the others away.",
    "table_not_written": "The stage is at fault: it must write every table that its dataset declares.",
    "task_process_lost": "Free memory, or lower --max-memory-mb where the stage takes it, and run the stage again.",
    "tokenizer_not_loaded": "Put the tokenizer's files into the model's folder, or make the hub reachable.",
    "too_few_photos_for_kind": "Name other kinds by --kinds, or none to compare all that suit.",
    "too_few_rows": "Give a longer log.",
    "too_few_searches": "Lengthen the validation window of split_temporal, or wait for more conversions.",
    "too_few_shards": "Run split_temporal with more --shards, or train in fewer --processes.",
    "too_few_slots": "Bring Spark workers back and run the stage again, or train in fewer --processes.",
    "too_little_memory": "Raise --max-memory-mb of the stage above what the text names.",
    "too_many_bad_rows": "Look at the quarantine. Mend the data, or change the rules or the limits.",
    "too_many_images_failed": "Replace or remove the images and run fetch_images again, or raise --max-failed-share.",
    "too_many_images_missing": "Put pictures there, let their addresses be reached, or raise `--max-missing-share`.",
    "training_left_no_checkpoint": "Look at the output of the training processes, and run the stage again.",
    "training_not_over": "Run the training to its end before its result is read.",
    "training_process_lost": "Run the stage again: it goes on from the last checkpoint.",
    "undeclared_schema": "The stage is at fault: write the columns that its dataset declares, or declare others.",
    "unfinished_rollback": "Do not roll back again. Mend the reason, then promote as the error says.",
    "unknown_country": "Give the country as the two letters of ISO 3166, such as GB.",
    "unknown_file_format": "Convert the file to one of the formats that the error lists.",
    "unknown_rule_parameter": "Name a parameter in the suite that the error lists, or write the value itself.",
    "unknown_setting": "Correct the name of the variable, or unset it.",
    "unread_file": "Rename the file as the error says, or move it out of the folder.",
    "unreadable_column": "Write the column as texts or numbers.",
    "unreadable_file": "Check that the file is what its name says, and that it may be read.",
    "unusable_path": "Name another file or folder: this path cannot be opened or made.",
    "unusable_release": "Take another release, or publish another: `nightlens rollback`.",
    "variant_of_other_splits": "Run train_variant again for this variant.",
    "vectors_differ_in_length": "Run embed_photos and embed_queries again.",
    "vectors_missing": "Run embed_photos or embed_queries again, whichever made the run that the text names.",
    "vectors_not_finite": "Train the model of this arm again, with a lower learning rate, and embed again.",
    "vectors_not_of_length_one": "Run embed_photos and embed_queries again.",
    "vectors_of_other_model": "Run embed_photos, embed_queries and build_index again.",
    "vectors_repeated": "Run the stage that made the run in the text again.",
    "version_is_live": "Roll back: `nightlens rollback`.",
    "version_not_checked": "Take a version that passed the check of register_model.",
    "version_without_release": "Rerun make_release for the night of that version, or take another version.",
    "version_without_tags": "Promote a version that register_model registered.",
    "version_without_weights": "Restore MLflow's artifacts, or promote another version.",
    "visitor_still_there": "Run forget again.",
    "weights_are_pickled": "Convert the weights to safetensors once.",
    "windows_not_of_a_backtest": "Run the whole series of nights again: make backtest.",
    "why_of_words_only": "Leave --why out, or search by words.",
    "wrong_usage": "Correct the call; `nightlens <command> --help` describes its options.",
}

_ROOT = Path(__file__).resolve().parent.parent
_FOLDERS = ("jobs", "models", "dags")
_FIRST = {"NightlensError", "CodedError"}
"""The errors that all others with a code come from."""


class Raised(NamedTuple):
    """One place in the source where an error is made."""

    place: str
    """Path and line."""
    kind: str
    codes: tuple[str, ...]
    """Empty for an error that hands on the code of another."""


def find_raised(root: Path = _ROOT) -> list[Raised]:
    """Return every construction of an error with a code; `ValueError` if a code is not written out."""
    trees = {
        path.relative_to(root).as_posix(): ast.parse(path.read_bytes())
        for folder in _FOLDERS
        for path in sorted((root / folder).rglob("*.py"))
    }
    kinds = _kinds(trees.values())
    return [
        Raised(f"{path}:{node.lineno}", kind, tuple(_codes(node.args[0], f"{path}:{node.lineno}")))
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and (kind := _name(node.func)) in kinds and len(node.args) > 1
    ]


def page(raised: list[Raised]) -> str:
    """Return docs/ERRORS.md: a row for each code, with the kinds of error that carry it."""
    kinds: dict[str, set[str]] = {}
    for one in raised:
        for code in one.codes:
            kinds.setdefault(code, set()).add(one.kind)
    rows = [
        f"| `{code}` | {', '.join(f'`{kind}`' for kind in sorted(kinds[code]))} | {CODES[code]} |"
        for code in sorted(kinds)
    ]
    return "\n".join([_HEAD, "| Code | Kind | What to do |", "|---|---|---|", *rows, ""])


_HEAD = """# Error codes

Nightlens reports an error that you can act on in one line: the command, the kind, the code and a text. The text says
what happened, why, and what to do in this case. It may change with any version; kind and code stay.

A command ends with status 1 for `LostWork`: the same call again may well succeed. It ends with status 2 for any other
kind. A `ModelError` or `UnusableIndex` of the models reaches the command line as `BadInput`, with its own code.

The page is made from the source: `python -m jobs.error_codes > docs/ERRORS.md`.
"""


def _kinds(trees: Iterable[ast.Module]) -> set[str]:
    """Return the names of the errors with a code: those that come from the first ones, however far."""
    bases = {
        node.name: {_name(base) for base in node.bases}
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    kinds = set(_FIRST)
    while more := {name for name, its in bases.items() if its & kinds} - kinds:
        kinds |= more
    return kinds


def _name(node: ast.expr) -> str:
    """Return the last part of a dotted name; empty for another expression."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _codes(node: ast.expr, place: str) -> Iterator[str]:
    """Return the codes that an expression may be; none for the code of another error, which is handed on."""
    match node:
        case ast.Constant(value=str() as code):
            yield code
        case ast.IfExp():
            yield from _codes(node.body, place)
            yield from _codes(node.orelse, place)
        case ast.Attribute(attr="code"):
            pass
        case _:
            raise ValueError(f"{place}: write the code out, it is {ast.unparse(node)}")


if __name__ == "__main__":
    print(page(find_raised()), end="")
