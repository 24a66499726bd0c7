"""Which language a file is in, by its name alone, and what a comment line looks like there.

Only code languages are scored on held-out files; documentation and configuration may still calibrate, so each language
carries its kind. A name that is not listed here is of unknown type and stays out of the corpus.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

Kind = Literal["code", "text", "data"]

_HASH = ("#",)
_SLASHES = ("//",)
_DASHES = ("--",)


@dataclass(frozen=True, kw_only=True)
class Language:
    """One language: how its files are called and how its comment lines start."""

    name: str
    extensions: tuple[str, ...]  # with the dot, lower case
    file_names: tuple[str, ...] = ()  # whole names, for files that have no extension
    line_comments: tuple[str, ...] = ()
    kind: Kind = "code"

    @property
    def has_star_blocks(self) -> bool:
        """Whether `/* … */` is a comment."""
        return "//" in self.line_comments or self.name in ("CSS", "SQL")

    @property
    def is_code(self) -> bool:
        """Whether held-out files of this language are scored."""
        return self.kind == "code"


def _code(name: str, extensions: str, line_comments: tuple[str, ...], *file_names: str) -> Language:
    return Language(name=name, extensions=tuple(extensions.split()), line_comments=line_comments, file_names=file_names)


def _other(kind: Kind, name: str, extensions: str, line_comments: tuple[str, ...] = ()) -> Language:
    return Language(name=name, extensions=tuple(extensions.split()), line_comments=line_comments, kind=kind)


LANGUAGES: tuple[Language, ...] = (
    _code("Python", ".py .pyi .pyw .pyx .pxd", _HASH, "SConstruct", "SConscript"),
    _code("JavaScript", ".js .mjs .cjs .jsx", _SLASHES),
    _code("TypeScript", ".ts .mts .cts .tsx", _SLASHES),
    _code("Java", ".java", _SLASHES),
    _code("C", ".c .h", _SLASHES),  # a header may be C++: its comments are the same
    _code("C++", ".cc .cpp .cxx .c++ .hh .hpp .hxx .h++ .inl .ipp .tpp .txx .ino", _SLASHES),
    _code("CUDA", ".cu .cuh", _SLASHES),
    _code("C#", ".cs", _SLASHES),
    _code("Objective-C", ".m .mm", _SLASHES),
    _code("Go", ".go", _SLASHES),
    _code("Rust", ".rs", _SLASHES),
    _code("Zig", ".zig", _SLASHES),
    _code("Swift", ".swift", _SLASHES),
    _code("Kotlin", ".kt .kts", _SLASHES),
    _code("Scala", ".scala .sc", _SLASHES),
    _code("Groovy", ".groovy .gradle", _SLASHES, "Jenkinsfile"),
    _code("Dart", ".dart", _SLASHES),
    _code("PHP", ".php .phtml", ("//", "#")),
    _code("Ruby", ".rb .rake .gemspec", _HASH, "Rakefile", "Gemfile"),
    _code("Perl", ".pl .pm", _HASH),
    _code("Shell", ".sh .bash .zsh .ksh .fish", _HASH),
    _code("PowerShell", ".ps1 .psm1 .psd1", _HASH),
    _code("R", ".r", _HASH),
    _code("Julia", ".jl", _HASH),
    _code("Elixir", ".ex .exs", _HASH),
    _code("Nim", ".nim", _HASH),
    _code("Starlark", ".bzl .star", _HASH, "BUILD", "BUILD.bazel", "WORKSPACE"),
    _code("Makefile", ".mk .mak", _HASH, "Makefile", "makefile", "GNUmakefile"),
    _code("CMake", ".cmake", _HASH, "CMakeLists.txt"),
    _code("Dockerfile", ".dockerfile", _HASH, "Dockerfile", "Containerfile"),
    _code("Terraform", ".tf", _HASH),
    _code("Lua", ".lua", _DASHES),
    _code("Haskell", ".hs", _DASHES),
    _code("Elm", ".elm", _DASHES),
    _code("SQL", ".sql", _DASHES),
    _code("Ada", ".adb .ads", _DASHES),
    _code("Erlang", ".erl .hrl", ("%",)),
    _code("Clojure", ".clj .cljs .cljc", (";",)),
    _code("Lisp", ".lisp .el .scm .rkt", (";",)),
    _code("OCaml", ".ml .mli", ()),
    _code("F#", ".fs .fsi .fsx", _SLASHES),
    _code("Visual Basic", ".vb", ("'",)),
    _code("Fortran", ".f .for .f90 .f95 .f03 .f08", ("!",)),
    _code("Solidity", ".sol", _SLASHES),
    _code("Verilog", ".v .vh .sv .svh", _SLASHES),
    _code("VHDL", ".vhd .vhdl", _DASHES),
    _code("Assembly", ".asm .s", (";", "#", "//")),
    _code("Pascal", ".pas .dpr .lpr", _SLASHES),
    _code("D", ".d", _SLASHES),
    _code("Crystal", ".cr", _HASH),
    _code("Lean", ".lean", _DASHES),
    _code("PureScript", ".purs", _DASHES),
    _code("Gleam", ".gleam", _SLASHES),
    _code("Vala", ".vala", _SLASHES),
    _code("Haxe", ".hx", _SLASHES),
    _code("CoffeeScript", ".coffee", _HASH),
    _code("GDScript", ".gd", _HASH),
    _code("Tcl", ".tcl", _HASH),
    _code("Nix", ".nix", _HASH),
    _code("Batch", ".bat .cmd", ("::", "rem ", "REM ")),
    _code("COBOL", ".cbl .cob .cpy", ("*>",)),
    _code("Shaders", ".glsl .vert .frag .hlsl .wgsl .metal", _SLASHES),
    _code("QML", ".qml", _SLASHES),
    _code("Bicep", ".bicep", _SLASHES),
    _code("HCL", ".hcl", _HASH),
    _code("Prisma", ".prisma", _SLASHES),
    _code("Protocol Buffers", ".proto", _SLASHES),
    _code("GraphQL", ".graphql .gql", _HASH),
    _code("Vue", ".vue", _SLASHES),
    _code("Svelte", ".svelte", _SLASHES),
    _code("Astro", ".astro", _SLASHES),
    _code("HTML", ".html .htm .xhtml .jinja .jinja2 .j2 .erb .ejs .twig .hbs .heex .razor .cshtml", ()),
    _code("CSS", ".css", ()),
    _code("SCSS", ".scss .sass .less", _SLASHES),
    _other("text", "Markdown", ".md .markdown .mdx"),
    _other("text", "reStructuredText", ".rst"),
    _other("text", "AsciiDoc", ".adoc", _SLASHES),
    _other("text", "TeX", ".tex", ("%",)),
    _other("data", "JSON", ".json .jsonc .json5", _SLASHES),
    _other("data", "YAML", ".yaml .yml", _HASH),
    _other("data", "TOML", ".toml", _HASH),
    _other("data", "INI", ".ini .cfg .conf .properties", ("#", ";")),
    _other("data", "XML", ".xml .xsd .xsl .csproj .vbproj .fsproj .props"),
)

# Known to hold no text, so that they are counted as what they are without being opened.
_BINARY_NAMES = """
    .png .jpg .jpeg .gif .bmp .ico .icns .webp .avif .tif .tiff .psd .pdf .mp3 .mp4 .ogg .wav .flac .webm .mov .avi
    .ttf .otf .woff .woff2 .eot .zip .gz .tgz .bz2 .xz .zst .7z .rar .tar .whl .egg .jar .war .class .pyc .pyo .so
    .dll .dylib .exe .o .a .lib .obj .bin .dat .db .sqlite .sqlite3 .npy .npz .pt .pth .onnx .safetensors .gguf
    .parquet .pkl .pickle .h5 .wasm .mo .doc .docx .xls .xlsx .ppt .pptx
"""
BINARY_EXTENSIONS: frozenset[str] = frozenset(_BINARY_NAMES.split())

_BY_NAME = {language.name: language for language in LANGUAGES}
_BY_EXTENSION = {extension: language for language in LANGUAGES for extension in language.extensions}
_BY_FILE_NAME = {file_name: language for language in LANGUAGES for file_name in language.file_names}


def find_language(path: str) -> Language | None:
    """The language of a file by its posix path, or None where the type is unknown."""
    pure = PurePosixPath(path)
    return _BY_FILE_NAME.get(pure.name) or _BY_EXTENSION.get(pure.suffix.lower())


def get_language(name: str) -> Language:
    """The language of that exact name, as it stands in `SourceFile.language`; raises KeyError for any other name."""
    return _BY_NAME[name]


def is_comment_line(line: str, language: Language) -> bool:
    """Whether a line holds nothing but a comment: a line comment, or a line of a block in the `/* … */` manner.

    Blocks are recognised by the star that their lines begin with by custom; where they have none, they are not
    followed.
    """
    stripped = line.strip()
    if language.line_comments and stripped.startswith(language.line_comments):
        return True
    return language.has_star_blocks and (stripped == "*" or stripped.startswith(("/*", "* ", "*/", "**/")))
