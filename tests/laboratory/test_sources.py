"""Source distributions: named, fetched by a client that is played, compared with their hash, unpacked harmlessly."""

import hashlib
import io
import sys
import tarfile
import zipfile

import pytest

from contract.errors import CorpusError
from laboratory.sources import fetch as fetching
from laboratory.sources.distribution import Distribution, parse_distribution
from laboratory.sources.fetch import fetch
from laboratory.sources.language_sets import LANGUAGE_SETS, TEXT_SET, find_language_set


def make_tar(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return path


@pytest.fixture
def played(tmp_path, monkeypatch):
    """A client that copies from a folder, and a list of what it was asked for."""
    source, asked = tmp_path / "index", []
    source.mkdir()

    def command(distribution, fresh, into):
        asked.append(str(distribution))
        copy = "import shutil, sys; [shutil.copy(path, '.') for path in sys.argv[1:]]"
        return [sys.executable, "-c", copy, *map(str, sorted(source.glob(f"{distribution.name}*")))]

    monkeypatch.setattr(fetching, "_command", command)
    return source, asked


@pytest.mark.parametrize(
    ("spec", "index", "name", "version"),
    [
        ("pypi:flask==3.1.3", "pypi", "flask", "3.1.3"),
        ("wheel:attrs==26.1.0", "wheel", "attrs", "26.1.0"),
        ("npm:preact@11.2.0", "npm", "preact", "11.2.0"),
        ("npm:@types/node@24.0.0", "npm", "@types/node", "24.0.0"),
        ("debian:spdlog=1:1.15.2+ds-2", "debian", "spdlog", "1:1.15.2+ds-2"),
    ],
)
def test_a_distribution_by_name(spec, index, name, version):
    parsed = parse_distribution(spec)
    assert (parsed.index, parsed.name, parsed.version) == (index, name, version)
    assert str(parsed) == spec
    assert parsed.path.parent.as_posix() == index


@pytest.mark.parametrize(
    "spec", ["pypi:flask", "npm:preact", "flask==1", "debian:=1", "pypi:--index-url==1", "pypi:a==--no", "npm:a@../b"]
)
def test_what_names_none_is_reported(spec):
    with pytest.raises(CorpusError, match="pypi:NAME==VERSION"):
        parse_distribution(spec)


def test_an_archive_is_fetched_once_and_its_only_folder_is_the_result(played, tmp_path):
    source, asked = played
    make_tar(source / "tool-1.tar.gz", {"tool-1/a.py": "x = 1\n", "tool-1/b/c.py": "y = 2\n"})
    tool = Distribution(index="pypi", name="tool", version="1")
    for _ in range(2):
        folder = fetch(tool, tmp_path / "cache")
        assert (folder / "b" / "c.py").read_text() == "y = 2\n"
    assert asked == ["pypi:tool==1"]
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == [".lock", "pypi"]
    assert folder == tmp_path / "cache" / "pypi" / "tool-1"


def test_a_wheel_has_no_single_folder(played, tmp_path):
    source, _ = played
    with zipfile.ZipFile(source / "tool-1-py3-none-any.whl", "w") as archive:
        archive.writestr("tool/a.py", "x = 1\n")
        archive.writestr("tool-1.dist-info/METADATA", "Name: tool\n")
    folder = fetch(Distribution(index="wheel", name="tool", version="1"), tmp_path / "cache")
    assert (folder / "tool" / "a.py").read_text() == "x = 1\n"


def test_a_changed_archive_is_refused_and_leaves_nothing(played, tmp_path):
    source, _ = played
    archive = make_tar(source / "tool-1.tar.gz", {"tool-1/a.py": "x = 1\n"})
    true = hashlib.sha256(archive.read_bytes()).hexdigest()
    wrong = Distribution(index="npm", name="tool", version="1", sha256="0" * 64)
    with pytest.raises(CorpusError, match=f"{true}.*{'0' * 64}"):
        fetch(wrong, tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [".lock"]
    right = Distribution(index="npm", name="tool", version="1", sha256=true)
    assert fetch(right, tmp_path / "cache").is_dir()


def test_what_came_without_a_hash_does_not_pass_for_what_is_listed(played, tmp_path):
    source, asked = played
    make_tar(source / "tool-1.tar.gz", {"tool-1/a.py": "x = 1\n"})
    fetch(Distribution(index="npm", name="tool", version="1"), tmp_path / "cache")
    with pytest.raises(CorpusError, match="was changed"):
        fetch(Distribution(index="npm", name="tool", version="1", sha256="0" * 64), tmp_path / "cache")
    assert len(asked) == 2


def test_lists_of_binary_packages_become_lists_of_sources(tmp_path, monkeypatch):
    """Both forms that apt knows; binary lists in what the machine has, whatever else is there."""
    monkeypatch.setattr(fetching, "APT", tmp_path / "apt")
    monkeypatch.setattr(fetching, "find_program", lambda name: None)
    (tmp_path / "apt" / "sources.list.d").mkdir(parents=True)
    old = "# ours\ndeb [arch=amd64] http://mirror/debian stable main\ndeb-src http://mirror/debian stable main\n"
    (tmp_path / "apt" / "sources.list").write_text(old)
    new = "Types: deb deb-src\nURIs: http://mirror/debian\nSuites: stable\n"
    (tmp_path / "apt" / "sources.list.d" / "debian.sources").write_text(new)
    (tmp_path / "apt" / "sources.list.d" / "debian.sources.bak").write_text(new)
    fetching._apt_options(tmp_path / "own")
    written = {path.name: path.read_text() for path in (tmp_path / "own" / "sources").iterdir()}
    assert written == {
        "sources.list": "# ours\ndeb-src [arch=amd64] http://mirror/debian stable main\n",
        "debian.sources": "Types: deb-src\nURIs: http://mirror/debian\nSuites: stable\n",
    }


def test_nothing_gets_out_of_the_folder(played, tmp_path):
    source, _ = played
    (tmp_path / "outside").mkdir()
    with tarfile.open(source / "tool-1.tar.gz", "w:gz") as archive:
        for name, kind, target in (
            ("door", tarfile.SYMTYPE, str(tmp_path / "outside")),
            ("hard", tarfile.LNKTYPE, "/etc/passwd"),
            ("pipe", tarfile.FIFOTYPE, ""),
            ("door/evil.py", tarfile.REGTYPE, ""),
            ("/evil.py", tarfile.REGTYPE, ""),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            archive.addfile(info)
    folder = fetch(Distribution(index="npm", name="tool", version="1"), tmp_path / "cache" / "deep")
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()) == [
        "door/evil.py", "evil.py"
    ]  # fmt: skip
    assert not any((tmp_path / "outside").iterdir())
    make_tar(source / "bad-1.tar.gz", {"../../../outside/evil.py": "x = 1\n"})
    with pytest.raises(CorpusError, match="unpacked"):
        fetch(Distribution(index="npm", name="bad", version="1"), tmp_path / "cache" / "deep")
    assert not any((tmp_path / "outside").iterdir())


def test_a_client_that_fails_is_quoted(monkeypatch, tmp_path):
    tool = Distribution(index="npm", name="tool", version="1")
    monkeypatch.setattr(
        fetching, "_command", lambda *_: [sys.executable, "-c", "import sys; sys.exit('no such version')"]
    )
    with pytest.raises(CorpusError, match="can't fetch npm:tool@1: no such version"):
        fetch(tool, tmp_path)
    monkeypatch.setattr(fetching, "_command", lambda *_: ["no-such-client"])
    with pytest.raises(CorpusError, match="no-such-client, which is not here"):
        fetch(tool, tmp_path)
    monkeypatch.setattr(fetching, "_command", lambda *_: [sys.executable, "-c", ""])
    with pytest.raises(CorpusError, match="0 archives"):
        fetch(tool, tmp_path)


@pytest.mark.slow
def test_pip_takes_pure_wheels_and_compares_the_hash_itself(monkeypatch, tmp_path):
    """The real pip, with a folder in place of an index."""
    index = tmp_path / "index"
    index.mkdir()
    wheel = index / "tool-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tool/a.py", "x = 1\n")
        archive.writestr("tool-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tool\nVersion: 1.0\n")
        archive.writestr("tool-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("tool-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    folder = fetch(Distribution(index="wheel", name="tool", version="1.0", sha256=sha256), tmp_path / "cache")
    assert (folder / "tool" / "a.py").is_file()
    with pytest.raises(CorpusError, match="pip can't fetch"):
        fetch(Distribution(index="wheel", name="tool", version="1.0", sha256="0" * 64), tmp_path / "other")


def test_everything_listed_has_a_licence_and_a_hash():
    for chosen in (*LANGUAGE_SETS.values(), TEXT_SET):
        for one in chosen.distributions:
            assert one.licence, one
            assert len(bytes.fromhex(one.sha256)) == 32
            assert parse_distribution(str(one)).requirement == one.requirement
    assert {"python", "java", "c++", "javascript", "typescript", "go", "rust", "c"} == set(LANGUAGE_SETS)


def test_languages_by_their_other_names():
    assert find_language_set("CPP").name == "c++"
    assert find_language_set("Js").name == "javascript"
    with pytest.raises(CorpusError, match=r"cobol.*python"):
        find_language_set("cobol")
