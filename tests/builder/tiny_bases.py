"""A base in three small wheels: what the tests of `builder.bases` fetch."""

import hashlib
import zipfile

from builder.bases.catalogue import BaseModel, PackagedFile, WheelPart

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
