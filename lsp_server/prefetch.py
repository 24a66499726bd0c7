"""Where the user will be once a suggestion is accepted: at the start of the next line.

The model is asked there while the user still reads. It writes a line from column 0, indentation and all, so that the
place is the same however the editor indents.
"""

from __future__ import annotations


def place_after_accepting(text: str, offset: int, suggestion: str, replaces: int = 0) -> tuple[str, int] | None:
    """The document and the offset in it after a suggestion at `offset` was accepted, and Enter hit.

    `replaces` characters right of the cursor go. None where text is left right of it, which Enter would take along.
    """
    rest = text[offset + replaces :]
    if rest.partition("\n")[0].strip():
        return None
    accepted = f"{text[:offset]}{suggestion}\n"
    return accepted + rest, len(accepted)
