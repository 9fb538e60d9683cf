"""Recent files: read once, as long as they are the same files."""

import os

from fxrelay_analysis.recent import Recent


def test_a_file_is_read_again_when_it_is_another(tmp_path):
    file, seen = tmp_path / "a", []

    def read(path):
        seen.append(path.read_text())
        return seen[-1]

    recent = Recent(max_bytes=100, max_file=50)
    file.write_text("one")
    assert [recent.get(file, read) for _ in range(3)] == ["one"] * 3
    assert seen == ["one"]
    file.write_text("two")
    os.utime(file, ns=(0, 1))
    assert recent.get(file, read) == "two"
    (tmp_path / "b").write_text("six")
    (tmp_path / "b").replace(file)
    os.utime(file, ns=(0, 1))
    assert recent.get(file, read) == "six"


def test_what_is_large_or_was_used_long_ago_is_forgotten(tmp_path):
    recent, seen = Recent(max_bytes=10, max_file=5), []
    for name, size in {"a": 4, "b": 4, "big": 6}.items():
        (tmp_path / name).write_text("x" * size)

    def read(path):
        seen.append(path.name)
        return path.name

    for name in ["big", "big", "a", "b", "a", "b"]:
        assert recent.get(tmp_path / name, read) == name
    assert seen == ["big", "big", "a", "b"]
    (tmp_path / "c").write_text("xxx")
    for name in ["a", "c", "a", "b"]:
        recent.get(tmp_path / name, read)
    assert seen[4:] == ["c", "b"]
