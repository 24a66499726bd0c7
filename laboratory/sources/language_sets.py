"""Code of one language at a time, and documentation as its control: listed packages with licence and hash.

Each archive was downloaded and hashed once. Small, permissively licensed, written by hand, and none of the repositories
that the recipe was tuned on or that our other figures are measured on (`benchmarks/measured_repositories.py`), but for
cobra, which is held out, and fmt. Packages of Debian are those of its version 13.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from contract.errors import CorpusError
from contract.repository.languages import Kind
from laboratory.sources.distribution import Distribution


@dataclass(frozen=True, kw_only=True)
class LanguageSet:
    """Source distributions, and which of their files count.

    `held_out`: the package that nothing is learned from; without one its files are split as a repository's.
    """

    name: str
    languages: tuple[str, ...]  # names in `contract.repository.languages`
    distributions: tuple[Distribution, ...]
    held_out: str = ""
    kind: Kind = "code"


# Index, name, version, SHA-256 of the archive, licence.
_LISTED: Final = """
wheel attrs 26.1.0 c647aa4a12dfbad9333ca4e71fe62ddc36f4e63b2d260a37a8b83d2f043ac309 MIT
wheel jinja2 3.1.6 85ece4451f492d0c13c5dd7c13a64681a86afae63a5f347908daf103ce6d2f67 BSD-3-Clause
wheel urllib3 2.8.0 0cf3cae568d36aa9576b28dfb35f11328f1cb974ca7647d9475ebb86c75ac6e3 MIT
wheel werkzeug 3.1.9 6392e50c78460ba618e5b21f08a71f59c99ce99cdc6cf6e3dd7e6ccca8754fab BSD-3-Clause
debian commons-csv 1.9.0-1 661252998cf2b9aac1aa12fe9e104dc23190761a8971384f83a6c1fc02536867 Apache-2.0
debian commons-io 2.19.0-1 e15d8c5afb162423499afca525642826194f9fe375252ef435c0ec0c49fdc0d3 Apache-2.0
debian libcommons-cli-java 1.6.0-1 fc764c3dab50817d1c7440b904aa6fc7bbc0064117e42c8b99e28ecdcdd4ab0f Apache-2.0
debian fmtlib 10.1.1+ds1-4 7000f214d2628f04174822f8048c573f1608194408d7931121595a03f1c18a17 MIT
debian leveldb 1.23-5 9a37f8a6174f09bd622bc723b55881dc541cd50747cbd08831c2a82d620f6d76 BSD-3-Clause
debian spdlog 1:1.15.2+ds-2 47c34d1efd947b6b81fe514dc772a8fb7c3a781050f7b19c09099575c16f6d5f MIT
npm axios 1.21.1 5659acb8c9414ad88aa539db8e529947c9bac8cdf55973e314a078fc0205751c MIT
npm commander 15.1.0 308f16a324f6d0c889c1a388858868d84e1b4eb4e2bf856caa001f01c1c55bdf MIT
npm express 5.3.0 62450d99e36dc393295f1ddd93cb9291e658c169f3b700b0110c1ae8fa799930 MIT
npm preact 11.2.0 3c4456766bd32b6b534d52bf4e9c2a29b33e7eedf6e96ed479300ba1a7888ebf MIT
npm immer 11.2.10 f8184e2750790534d2faf01137b39133586ef2c14fa504ee82409568dbb0b32d MIT
npm rxjs 7.8.2 2312f8ffd9726ffd7bd53ea12c5f13663d09a3dc3326f448c70b88f5ef6fac82 Apache-2.0
npm zod 4.6.7 84efd155bed93270286e793fc951be270b536cbd5b0eeb111f0fa3967201d698 MIT
debian golang-github-gin-gonic-gin 1.8.1-3 9f6a9a6c2b96c323902d8ee1728152bafdf1894130554a93af5d3f1807c0403b MIT
debian golang-github-gorilla-mux 1.8.1-1 c2a09e78d1886abb2d291b472eba3ac9185acb35234c1f5616669664ba893d6d BSD-3-Clause
debian golang-github-spf13-cobra 1.8.1-1 5d45f6fcce63f9f4dd12b34a15669335a35ca3f7bf297ba465c3fbf62308e5fe Apache-2.0
debian golang-logrus 1.9.0-1 12446ed9eb96573c2aae4df2db81900a65bfd21d2ce92efde7201614e42134f7 MIT
debian newsboat 2.36-1.1 61a67a397cc9df7fbb7d73bb156e89e5b4a2b31fc9360e1e7384e710a2cf037a MIT
debian python-bcrypt 4.2.0-2.1 77ed4d042731752c411ee8bcd59f9d01cf5b947c2713ce50964d06ca56ce87ea Apache-2.0
debian python-cryptography 43.0.0-3+deb13u1 b88075ada2d51aa9f18283532c9f60e72170041bba88d7f37e49cbb10275299e Apache-2.0 OR BSD-3-Clause
debian jansson 2.14-2 c739578bf6b764aa0752db9a2fdadcfe921c78f1228c7ec0bb47fa804c55d17b MIT
debian libuv1 1.50.0-2 ec9de6ecf2a780fd2afb3b007947d2cd57c3bb17f3b9e721a66774980d35cd4d MIT
debian lua5.4 5.4.7-1 9fbf5e28ef86c69858f6d3d34eccc32e911c1a28b4120ff3e84aaa70cfbf1e30 MIT
"""  # noqa: E501


def _parse(line: str) -> Distribution:
    index, name, version, sha256, licence = line.split(" ", 4)
    return Distribution(index=index, name=name, version=version, licence=licence, sha256=sha256)


_DISTRIBUTIONS: Final = {one.name: one for one in map(_parse, _LISTED.strip().splitlines())}


def _set(name: str, languages: tuple[str, ...], held_out: str, packages: str, kind: Kind = "code") -> LanguageSet:
    chosen = tuple(map(_DISTRIBUTIONS.__getitem__, packages.split()))
    return LanguageSet(name=name, languages=languages, distributions=chosen, held_out=held_out, kind=kind)


LANGUAGE_SETS: Final[Mapping[str, LanguageSet]] = {
    one.name: one
    for one in (
        _set("python", ("Python",), "urllib3", "attrs jinja2 urllib3 werkzeug"),
        _set("java", ("Java",), "commons-csv", "commons-csv commons-io libcommons-cli-java"),
        _set("c++", ("C++", "C"), "leveldb", "fmtlib leveldb spdlog"),
        _set("javascript", ("JavaScript",), "preact", "axios commander express preact"),
        _set("typescript", ("TypeScript",), "rxjs", "immer rxjs zod"),
        _set(
            "go",
            ("Go",),
            "golang-github-spf13-cobra",
            "golang-github-gin-gonic-gin golang-github-gorilla-mux golang-github-spf13-cobra golang-logrus",
        ),
        _set("rust", ("Rust",), "newsboat", "newsboat python-bcrypt python-cryptography"),
        _set("c", ("C",), "jansson", "jansson libuv1 lua5.4"),
    )
}
# The control: what people write about code, no code.
TEXT_SET: Final = _set("text", ("reStructuredText", "Markdown"), "", "python-cryptography libuv1", "text")

_OTHER_NAMES: Final = {
    "cpp": "c++",
    "js": "javascript",
    "ts": "typescript",
    "py": "python",
    "rs": "rust",
    "golang": "go",
}


def find_language_set(name: str) -> LanguageSet:
    """The listed set of a language; raises CorpusError if there is none."""
    known = _OTHER_NAMES.get(name.lower(), name.lower())
    if known not in LANGUAGE_SETS:
        raise CorpusError(f"There is no language set {name!r}; give one of {', '.join(LANGUAGE_SETS)}.")
    return LANGUAGE_SETS[known]
