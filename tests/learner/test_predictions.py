"""A prediction is written before the result is seen, and shown under it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from ipywidgets import Widget

from streamlab.learner import magics
from streamlab.learner.prediction import Prediction
from streamlab.learner.record import Record
from tests.learner.conftest import LESSON, Notebook


def told(shown: list[Any]) -> list[str]:
    """Return the predictions that a cell shows, as text."""
    return [text for bundle in shown if (text := bundle["text/plain"]).startswith("You predicted")]


def test_it_is_shown_under_the_cell_that_it_is_about(copy: Path, notebook: Notebook) -> None:
    """Not under one that is run in between; and again whenever the cell is run again."""
    assert notebook.run("%predict about 2 s", "drained-predict") == [{"text/plain": "Your prediction: about 2 s"}]
    assert notebook.run("x = 1", "before") == []
    assert told(notebook.run("x", "drained")) == ["You predicted: about 2 s"]
    assert told(notebook.run("x", "other")) == []
    assert told(notebook.run("x", "drained")) == ["You predicted: about 2 s"]


def test_where_cells_have_no_names_it_is_about_the_next_one(copy: Path, notebook: Notebook) -> None:
    notebook.run("%predict 7.5 s")
    assert told(notebook.run("x = 1")) == ["You predicted: 7.5 s"]
    assert told(notebook.run("x = 2")) == []


def test_without_an_answer_nothing_is_said(copy: Path, notebook: Notebook) -> None:
    (asked,) = notebook.run("%predict", "drained-predict")
    assert asked == {"text/plain": "Your prediction: write it behind %predict, and run this cell again."}
    assert notebook.run("x = 1", "drained") == []


def test_a_cell_that_fails_is_no_result(copy: Path, notebook: Notebook) -> None:
    notebook.run("%predict 7.5 s", "drained-predict")
    assert notebook.run("1 / 0", "drained") == []
    assert told(notebook.run("1 / 1", "drained")) == ["You predicted: 7.5 s"]


def test_what_was_predicted_is_kept_for_the_next_time(
    copy: Path, notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the kernel is restarted; not in another lesson, whose cells may have the same names."""
    notebook.run("%predict 7.5 s", "drained-predict")
    assert Record(copy).predictions() == {}  # not before there is a result
    notebook.run("x = 1", "drained")
    assert Record(copy).predictions() == {f"{LESSON}/drained-predict": "7.5 s"}
    again = Notebook(monkeypatch)
    assert again.run("%predict", "drained-predict") == [{"text/plain": "Your prediction: 7.5 s"}]
    monkeypatch.setenv("JPY_SESSION_NAME", "04_one_to_many.ipynb")
    other = Notebook(monkeypatch)
    assert "7.5 s" not in str(other.run("%predict", "drained-predict"))


def test_where_the_lesson_is_not_known_nothing_is_kept(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JPY_SESSION_NAME")
    notebook = Notebook(monkeypatch)
    notebook.run("%predict 7.5 s", "drained-predict")
    assert told(notebook.run("x = 1", "drained")) == ["You predicted: 7.5 s"]
    assert Record(copy).predictions() == {}


def test_outside_of_a_copy_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notebook: Notebook
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JPY_SESSION_NAME", f"{LESSON}.ipynb")
    here = Notebook(monkeypatch)
    here.run("%predict 7.5 s", "drained-predict")
    assert told(here.run("x = 1", "drained")) == ["You predicted: 7.5 s"]
    assert list(tmp_path.iterdir()) == []


def test_there_is_a_field_to_write_in(copy: Path, notebook: Notebook) -> None:
    """In a notebook; once the result is there, it can be read only. What is typed is text, and not HTML."""
    notebook.shell.kernel = object()  # type: ignore[attr-defined]
    try:
        (asked,) = notebook.run("%predict", "drained-predict")
        assert isinstance(asked, dict)
        field = notebook.magics.predictions.of["drained"].field
        assert asked["application/vnd.jupyter.widget-view+json"]["model_id"] == field.model_id
        field.value = " <b>2 s</b> "
        (shown,) = notebook.run("x = 1", "drained")
        assert isinstance(shown, dict)
        assert shown["text/plain"] == "You predicted: <b>2 s</b>"
        assert "&lt;b&gt;2 s&lt;/b&gt;" in shown["text/html"]
        assert field.disabled
        field.value = "2 s or so"  # what was still on its way
        assert told(notebook.shown) == ["You predicted: 2 s or so"]
        assert Record(copy).predictions() == {f"{LESSON}/drained-predict": "2 s or so"}
    finally:
        Widget.close_all()


def test_what_is_typed_while_the_result_is_shown_is_told(
    copy: Path, notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel with subshells hears it in another thread, whatever the cell's own thread is doing."""
    notebook.shell.kernel = object()  # type: ignore[attr-defined]
    threads: list[threading.Thread] = []
    show = magics._show

    def show_slowly(what: object, **options: object) -> object:
        if options.get("display_id"):
            threads.append(threading.Thread(target=lambda: setattr(field, "value", "2 s or so")))
            threads[-1].start()
            threads[-1].join(0.2)
        return show(what, **options)

    try:
        notebook.run("%predict", "drained-predict")
        field = notebook.magics.predictions.of["drained"].field
        field.value = "2"
        monkeypatch.setattr(magics, "_show", show_slowly)
        notebook.run("x = 1", "drained")
        (thread,) = threads
        thread.join(10)
        assert told(notebook.shown) == ["You predicted: 2 s or so"]
        assert Record(copy).predictions() == {f"{LESSON}/drained-predict": "2 s or so"}
    finally:
        Widget.close_all()


def test_an_answer_can_be_set() -> None:
    """The way that needs no click, with a field and without one."""
    try:
        for prediction in (Prediction(), Prediction(with_field=True)):
            prediction.answer = " 7.5 s "
            assert prediction.answer == "7.5 s"
    finally:
        Widget.close_all()
