"""Packages of a language, written to a folder: what the tests of datasets and experiments calibrate on."""

from laboratory import datasets
from laboratory.sources.distribution import Distribution
from laboratory.sources.language_sets import LANGUAGE_SETS, LanguageSet


def write_code(folder, suffix, comment, count=24, lines=60):
    for number in range(count):
        rows = [f"{comment} file {number}"]
        rows += [f"value_{number}_{line} = compute_{suffix[1:]}({line}, {number * 31 + line})" for line in range(lines)]
        path = folder / "src" / f"part{number}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(rows) + "\n")


def write_text(folder, count=24):
    for number in range(count):
        rows = [f"The {number} th chapter tells of thing {line}, as chapter {line} did." for line in range(60)]
        path = folder / "docs" / f"chapter{number}.rst"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(rows) + "\n")


def play_index(tmp_path, monkeypatch):
    """Two packages in place of an index: one of Python with documentation, one of JavaScript; the cache to use."""
    packages = {"pack": tmp_path / "pack", "jack": tmp_path / "jack"}
    write_code(packages["pack"], ".py", "#")
    write_code(packages["pack"], ".js", "//", count=12)
    write_text(packages["pack"])
    write_code(packages["jack"], ".js", "//", count=40)
    monkeypatch.setattr(datasets, "fetch", lambda one, into, on_event: packages[one.name])
    pack = Distribution(index="npm", name="pack", version="1")
    jack = Distribution(index="npm", name="jack", version="1")
    monkeypatch.setitem(
        LANGUAGE_SETS, "python", LanguageSet(name="python", languages=("Python",), distributions=(pack,))
    )
    monkeypatch.setitem(
        LANGUAGE_SETS,
        "javascript",
        LanguageSet(name="javascript", languages=("JavaScript",), distributions=(pack, jack)),
    )
    monkeypatch.setattr(
        datasets,
        "TEXT_SET",
        LanguageSet(name="text", languages=("reStructuredText",), distributions=(pack,), kind="text"),
    )
    return tmp_path / "cache"
