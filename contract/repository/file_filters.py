"""Why a file stays out of the corpus: by its path, then by its text. Pure functions; each reason is a name to count.

What a path can tell is asked first, so that most unwanted files are never opened.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from contract.repository.benchmark_files import find_benchmark
from contract.repository.languages import BINARY_EXTENSIONS, Language, find_language

# Other people's code and environments, wherever they lie in the tree.
_VENDORED_NAMES = """
    node_modules bower_components jspm_packages vendor vendors vendored _vendor
    site-packages dist-packages .venv venv .virtualenv virtualenv .tox .nox .eggs __pycache__ .mypy_cache
    .pytest_cache .ruff_cache .yarn .pnp Pods Carthage .gradle .next .nuxt .svelte-kit .cache
"""
VENDORED_FOLDERS: frozenset[str] = frozenset(_VENDORED_NAMES.split())
_THIRD_PARTY = re.compile(r"(?:third|3rd)[_-]?party", re.IGNORECASE)  # also ThirdParty

# Build output by custom, but also names of real packages (pypa/build is src/build/): below a source folder they are
# source, and so is a `build` below another folder that git tracks.
OUTPUT_FOLDERS: frozenset[str] = frozenset({"build", "dist"})
_SOURCE_FOLDERS: frozenset[str] = frozenset({"src", "source", "sources"})

_LOCK_NAMES = """
    package-lock.json npm-shrinkwrap.json yarn.lock pnpm-lock.yaml bun.lock bun.lockb deno.lock poetry.lock uv.lock
    pdm.lock Pipfile.lock conda-lock.yml pixi.lock pylock.toml Cargo.lock Gemfile.lock composer.lock go.sum
    go.work.sum mix.lock pubspec.lock Podfile.lock Package.resolved packages.lock.json paket.lock flake.lock
    gradle.lockfile MODULE.bazel.lock .terraform.lock.hcl
"""
LOCK_FILES: frozenset[str] = frozenset(_LOCK_NAMES.split())

_GENERATED_NAME = re.compile(
    r"""_pb2(_grpc)?\.pyi?$ | \.pb\.(go|cc|h|dart)$ | _pb\.(js|ts|d\.ts)$ | \.pb\.gw\.go$ | \.(g|freezed)\.dart$
      | \.(designer|g|g\.i)\.cs$ | \.map$ | \.snap$""",
    re.VERBOSE | re.IGNORECASE,
)
_MINIFIED_NAME = re.compile(r"[.-]min\.(js|mjs|cjs|css)$", re.IGNORECASE)

# Looked for in comment lines at the top alone: a code generator's own source holds the same words further down.
_GENERATED_MARK = re.compile(
    r"""@generated\b | \bcode\ generated\ by\b | \bdo\ not\ (edit|modify)\b | \bauto[-\ ]?generated\b
      | \bautomatically\ generated\b | \bthis\ file\ (is|was|has\ been)\ generated\b | \bfile\ generated\ by\b
      | \bgenerated\ by\ (?:the\ protocol\ buffer\ compiler|javadoc|doxygen|sphinx|cython|flex|re2c|ragel)\b
      | \bby\ antlr\ \d | \bmade\ by\ gnu\ bison\b | <meta\ name="generator"\ content="(?:doxygen|javadoc|sphinx)""",
    re.VERBOSE | re.IGNORECASE,
)
_XML_STARTS = ("<?xml", "<!DOCTYPE")  # of app_de.ts, which is Qt's and no TypeScript
# The first words of what stands in place of a large file until `git lfs` fetches it.
_LFS_POINTER = "version https://git-lfs.github.com/spec/"
# What git writes around the two sides of a merge that somebody has yet to decide.
_CONFLICT_MARKS = ("<<<<<<< ", ">>>>>>> ")  # at the beginning of a line
_COMMENT_START = re.compile(r"^\s*+(#|//|/\*|\*|--|<!--|<meta |;|%|\(\*|'|\"\"\"|\{-)")
_MARK_LINES = 12
_MARK_CHARS = 2000

# A person's line is seldom longer; bundlers put thousands of characters on one.
MAX_LINE_CHARS = 5000
MAX_MEAN_LINE_CHARS = 200


def reason_by_path(path: str, *, is_tracked: bool = False) -> str | None:
    """Why a file with this posix path, relative to the repository, is left out unopened; None where it is not.

    is_tracked: git has it in its index.
    """
    pure = PurePosixPath(path)
    name = pure.name
    in_source = False
    for depth, folder in enumerate(pure.parts[:-1]):
        is_kept = in_source or (is_tracked and folder == "build" and depth > 0)
        if folder in VENDORED_FOLDERS or _THIRD_PARTY.fullmatch(folder) or (folder in OUTPUT_FOLDERS and not is_kept):
            return "vendored"
        in_source = in_source or folder in _SOURCE_FOLDERS
    if name in LOCK_FILES:
        return "lock file"
    if _MINIFIED_NAME.search(name):
        return "minified"
    if _GENERATED_NAME.search(name):
        return "generated"
    if find_language(path) is None:
        return "binary" if pure.suffix.lower() in BINARY_EXTENSIONS else "unknown type"
    return None


def decode_text(content: bytes) -> str | None:
    """The text of a file with LF line ends and no byte order mark, or None where the bytes are no UTF-8 text.

    CRLF and a lone CR become LF: models are calibrated on LF, and the server does the same to a document for its
    prompt. So one file has one text, and one split, whatever the checkout's line ends are.
    """
    if b"\0" in content:
        return None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def reason_by_text(text: str, language: Language) -> str | None:
    """Why a file with this text is left out; None where it is not."""
    if not text.strip():
        return "empty"
    if text.startswith(_LFS_POINTER):
        return "git-lfs pointer"
    if is_marked_generated(text) or (language.name == "TypeScript" and text.lstrip().startswith(_XML_STARTS)):
        return "generated"
    if all(text.startswith(mark) or f"\n{mark}" in text for mark in _CONFLICT_MARKS):
        return "conflict"
    if language.kind != "text" and is_minified(text):  # prose has a paragraph on a line
        return "minified"
    benchmark = find_benchmark(text)  # last: it takes longest
    return f"benchmark ({benchmark})" if benchmark else None


def is_marked_generated(text: str) -> bool:
    """Whether a comment line at the top says that a program wrote this file."""
    lines = text[:_MARK_CHARS].split("\n", _MARK_LINES)[:_MARK_LINES]
    return any(_COMMENT_START.match(line) and _GENERATED_MARK.search(line) for line in lines)


def is_minified(text: str) -> bool:
    """Whether the lines are too long for a person to have written them."""
    lines = text.split("\n")
    return max(map(len, lines)) > MAX_LINE_CHARS or len(text) / len(lines) > MAX_MEAN_LINE_CHARS
