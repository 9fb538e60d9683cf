import json
import multiprocessing
import os
import threading

import numpy as np
import pytest

from fxrelay_viz.notes import Noted, Notes, notes_beside


def write(path, first: int) -> None:
    notes = Notes(path)
    for n in range(first, first + 10):
        notes.tag([n], f"tag {n % 3}")
        notes.note(n, f"seen {n}")


def test_tags_and_notes_are_read_back(tmp_path):
    path = tmp_path / "relevance.notes.json"
    notes = Notes(path)
    assert not path.exists()
    notes.tag(np.array([3, 5]), " watermark ")
    notes.tag([5, 7], "watermark")
    notes.tag([3], "watermark", on=False)
    notes.tag([9], "gone")
    notes.tag([9], "gone", on=False)
    notes.note(7, "a copyright mark")
    notes.note(5, "x")
    notes.note(5, "  ")
    notes.keep("odd group", "v1-abc", "all with a mark")
    again = Notes(path)
    assert again.tags == {"watermark": [5, 7]}
    assert again.notes == {7: "a copyright mark"}
    assert again.selections["odd group"]["link"] == "v1-abc"
    assert again.revision == notes.revision == 9
    again.forget("odd group")
    assert notes.refresh()
    assert notes.selections == {}
    assert not notes.refresh()


def test_they_are_variables_of_the_samples():
    notes = Notes(None)
    columns = Noted(notes, np.array([10, 20, 30]))
    assert list(columns) == []
    notes.tag([30, 10, 99], "b")
    notes.tag([30], "a")
    assert list(columns) == ["tags"]
    assert columns["tags"].tolist() == ["b", "", "a, b"]
    notes.note(20, "here")
    assert columns["note"].tolist() == ["", "here", ""]
    assert len(columns) == 2
    with pytest.raises(KeyError):
        columns["label"]


def test_no_change_of_threads_and_processes_is_lost(tmp_path):
    path = tmp_path / "n.json"
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=write, args=(path, 0))
    process.start()
    shared = Notes(path)
    threads = [threading.Thread(target=write, args=(path, 100))]
    threads += [
        threading.Thread(target=lambda n=n: [shared.note(n + k, "x") for k in range(10)])
        for n in (200, 300)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    process.join(60)
    assert process.exitcode == 0
    found = Notes(path)
    assert sorted(found.notes) == [n for m in (0, 100, 200, 300) for n in range(m, m + 10)]
    assert found.revision == 60
    assert sum(map(len, found.tags.values())) == 20


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"version": 2}', '{"version": 1, "tags": {"a": [[1]]}}', "\xff",
     '{"version": 1, "notes": [[1]]}', '{"version": 1, "links": {"a": 3}}', "[" * 100_000],
)  # fmt: skip
def test_a_damaged_file_is_left_as_it_is(tmp_path, text: str):
    path = tmp_path / "n.json"
    path.write_text(text, encoding="latin-1")
    notes = Notes(path)
    assert notes.problem.startswith("notes: ")
    assert notes.tags == {}
    with pytest.raises(OSError, match="Mend or move the file; it is left as it is") as caught:
        notes.tag([1], "x")
    assert str(path) in str(caught.value)
    assert path.read_text(encoding="latin-1") == text
    path.write_text(json.dumps({"version": 1, "tags": {"a": [1]}}))
    assert notes.refresh()
    assert (notes.problem, notes.tags) == ("", {"a": [1]})


def test_what_cannot_be_written_says_so(tmp_path, monkeypatch):
    notes = Notes(tmp_path / "n.json")

    def refuse(*args, **keywords):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("fxrelay_viz.notes.write_atomically", refuse)
    with pytest.raises(OSError, match="notes: needs to write") as caught:
        notes.tag([1], "x")
    assert str(caught.value) == (
        f"notes: needs to write {str(tmp_path / 'n.json')!r}; got Permission denied. Make the "
        "folder writable, or open a copy of the project."
    )
    assert notes.tags == {}
    assert os.listdir(tmp_path) in ([], [".n.json.lock"])


@pytest.mark.parametrize("tag", ["", "  ", "a,b", "x" * 65, "a\nb"])
def test_bad_tags(tag: str):
    with pytest.raises(ValueError, match="tag: needs 1 to 64 printable characters without comma"):
        Notes(None).tag([1], tag)
    with pytest.raises(ValueError, match="note: needs 10,000 characters or fewer; got 10,001"):
        Notes(None).note(1, "x" * 10_001)
    with pytest.raises(ValueError, match="selection: needs a name of 1 to 64"):
        Notes(None).keep("x" * 65, "")


def test_where_notes_stand(tmp_path):
    assert notes_beside(tmp_path / "relevance").name == "relevance.notes.json"
    assert notes_beside(tmp_path / "ds.nc").name == "ds.notes.json"
