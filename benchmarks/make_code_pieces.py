"""Makes builder/pruning/code_pieces.npz: in how many files of a language each piece of text occurs that is a token.

    python -m benchmarks.make_code_pieces --base qwen2.5-coder-0.5b

None of the packages is one that our language sets hold out. One is a repository that we report on: hono, by an
oversight. Its package holds the compiled JavaScript and the type declarations. It stays in the list, since the table
that builds use was made with it. starlette, catch2 and fmtlib are repositories that we tune on. Nothing but the pieces
and their shares is kept, most of them words and ends of words.
"""

from __future__ import annotations

import argparse
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from tokenizers import Tokenizer

from benchmarks.measured_repositories import CACHE
from builder.bases.load import load_base
from builder.pruning.code_pieces import CODE_PIECES_FILE
from contract.errors import CorpusError
from contract.repository.texts import read_repository
from laboratory.sources.distribution import parse_distribution
from laboratory.sources.fetch import fetch

LANGUAGES: Final = ("Python", "Java", "C++", "C", "JavaScript", "TypeScript", "Go", "Rust")
_WHEELS: Final = """
    attrs==26.1.0 celery==5.7.0 django==5.2.19 fastapi==0.165.0 ipython==9.18.1 jinja2==3.1.6 networkx==3.6.1
    pytest==9.2.0 sphinx==9.0.4 starlette==1.10.0 sympy==1.14.0 trio==0.35.0 twisted==26.10.0 werkzeug==3.1.9
"""
_NPM: Final = """
    @apollo/client@4.3.8 @reduxjs/toolkit@2.15.0 @tanstack/query-core@5.108.4 @tanstack/react-query@5.108.4
    @trpc/server@11.25.2 async@3.2.6 axios@1.21.1 commander@15.1.0 date-fns@4.4.0 drizzle-orm@0.45.4 effect@4.1.0
    eslint@10.15.0 express@5.3.0 fp-ts@2.16.11 hono@4.13.19 immer@11.2.10 io-ts@2.2.22 koa@3.3.0 lodash@4.18.1
    mobx@7.1.3 mocha@12.0.3 pixi.js@8.22.0 socket.io@4.8.4 three@0.187.0 typeorm@1.1.1 undici@8.13.1 webpack@5.113.0
    ws@8.23.0 xstate@5.33.3 yaml@2.9.1 zod@4.6.7 zustand@5.1.0
"""
_DEBIAN: Final = """
    abseil=20240722.0-4 assertj-core=3.26.3-2 assimp=5.4.3+ds-2 catch2=3.7.1-0.5 ceres-solver=2.2.0+dfsg-4.1
    commons-io=2.19.0-1 commons-math3=3.6.1-4 curl=8.14.1-2+deb13u7 etcd=3.5.16-4 fish=4.0.2-1 fmtlib=10.1.1+ds1-4
    golang-1.24=1.24.4-1 golang-github-gin-gonic-gin=1.8.1-3 golang-github-hashicorp-raft=1.5.0-1
    golang-github-prometheus-client-golang=1.21.1-1 golang-github-spf13-viper=1.12.0-1
    golang-golang-x-net=1:0.27.0-2 golang-google-grpc=1.64.0-7 golang-k8s-apimachinery=0.32.3-2 golang-logrus=1.9.0-1
    golang-testify=1.10.0-1 googletest=1.16.0-1 grpc=1.51.1-6 guava-libraries=32.0.1-1
    httpcomponents-client=4.5.14-1 hugo=0.131.0-1 jackson-databind=2.14.0+ds-1+deb13u1
    jetty12=12.0.17-3.1~deb13u1 junit5=5.10.3-1 libcommons-lang3-java=3.17.0-1+deb13u1
    libevent=2.1.13-stable-1~deb13u1 librsvg=2.60.0+dfsg-1+deb13u1 libspring-java=4.3.30-3 libuv1=1.50.0-2
    lua5.4=5.4.7-1 mbedtls=3.6.6-0.1~deb13u1 mockito=3.3.0-2 netty=1:4.1.48-10+deb13u1 nginx=1.26.3-3+deb13u11
    nlohmann-json3=3.11.3-2.1 prometheus=2.53.3+ds1-2 protobuf=3.21.12-11+deb13u1
    python-cryptography=43.0.0-3+deb13u1 range-v3=0.12.0-1.1 rapidjson=1.1.0+dfsg2-7.4 redis=5:8.0.2-3+deb13u3
    rust-serde=1.0.217-1 sccache=0.10.0-4 spdlog=1:1.15.2+ds-2 sqlite3=3.46.1-7+deb13u2
    suricata=1:7.0.10-1+deb13u4 tomcat10=10.1.60-1~deb13u1 zlib=1:1.3.dfsg+really1.3.1-1+deb13u1
"""
MOST_FILES: Final = 800  # of one package and language
LEAST_FILES: Final = 10  # fewer say little of what is usual
LEAST_SHARE: Final = 0.0002  # of a language's files; what is rarer is one package's own word


def specs() -> Iterator[str]:
    """All packages, as `laboratory.sources` names them."""
    for index, names in (("wheel", _WHEELS), ("npm", _NPM), ("debian", _DEBIAN)):
        yield from (f"{index}:{name}" for name in names.split())


def main() -> None:
    """Count, write the data file and say what is in it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", required=True, help="whose tokens are the pieces; a large vocabulary has most")
    tokenizer = load_base(parser.parse_args().base).tokenizer
    tokenizer.encode_special_tokens = True  # a file that spells a control token is still text
    shares: defaultdict[str, list[Counter[int]]] = defaultdict(list)  # by language, one counter a package
    for spec in specs():
        for language, counted in _count(spec, tokenizer):
            shares[language].append(counted)
    ids = sorted({i for packages in shares.values() for counted in packages for i in counted})
    pieces = {i: piece for i in ids if tokenizer.encode(piece := tokenizer.decode([i])).ids == [i]}
    table = np.array(
        [
            [sum(counted[i] for counted in shares[language]) / 1e6 / len(shares[language]) for language in LANGUAGES]
            for i in pieces
        ]
    )
    enough = table.max(axis=1) >= LEAST_SHARE
    kept = [piece for piece, is_kept in zip(pieces.values(), enough, strict=True) if is_kept]
    joined = np.frombuffer("\0".join(kept).encode(), dtype=np.uint8)
    np.savez_compressed(CODE_PIECES_FILE, pieces=joined, languages=np.array(LANGUAGES), shares=_coarse(table[enough]))
    print(f"{CODE_PIECES_FILE}: {len(kept):,} pieces, {CODE_PIECES_FILE.stat().st_size:,} bytes")


def _coarse(shares: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float16]]:
    """To four bits behind the leading one, 3 %: it decides little and saves a fifth of the file."""
    bits = shares.astype(np.float16).view(np.uint16) + 0x20
    return (bits & 0xFFC0).view(np.float16)


def _count(spec: str, tokenizer: Tokenizer) -> Iterator[tuple[str, Counter[int]]]:
    """Of each language with enough files: in how many of a million files each token would occur."""
    folder = fetch(parse_distribution(spec), CACHE / "code-pieces", on_event=print)
    try:
        texts = read_repository(folder).texts.values()
    except CorpusError as error:
        raise CorpusError(f"{spec}: {error}") from error
    for language in LANGUAGES:
        found = [text for name, text in texts if name == language]
        found = sorted(found, key=lambda text: hashlib.sha256(text.encode()).digest())[:MOST_FILES]
        if len(found) < LEAST_FILES:
            continue
        counts = Counter(i for text in found for i in set(tokenizer.encode(text, add_special_tokens=False).ids))
        print(f"{spec}: {len(found)} files of {language}, {len(counts):,} tokens", flush=True)
        yield language, Counter({i: round(count / len(found) * 1e6) for i, count in counts.items()})


if __name__ == "__main__":
    main()
