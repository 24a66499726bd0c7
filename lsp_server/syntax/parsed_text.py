"""A text with its syntax tree, asked by offsets in characters: where errors are, what stands at a place."""

from __future__ import annotations

from tree_sitter import Node, Point, Tree

from lsp_server.syntax.grammars import Grammar, NoTreeError
from lsp_server.syntax.parse_time import EditTime, parse_whole, point_behind


class ParsedText:
    """A text, finished or not, with tree-sitter's tree of it. Raises NoTreeError if there can be none."""

    def __init__(
        self, text: str, grammar: Grammar, *, _old: Tree | None = None, _edit_time: EditTime | None = None
    ) -> None:
        self._grammar = grammar
        self.source = text.encode("utf-8", "replace")
        self._text = text
        self._edit_time = _edit_time or EditTime()
        if _old is None:
            self._tree = parse_whole(text, self.source, grammar)
        else:
            self._tree = self._edit_time.parse(self.source, grammar, _old)
        self.root = self._tree.root_node

    def edited(self, start: int, removed: int, inserted: str) -> ParsedText:
        """Return the text after an edit at `start`. Only what the edit affects is parsed again."""
        old_end = start + removed
        text = self._text[:start] + inserted + self._text[old_end:]
        tree = self._tree.copy()
        first = self.byte_at(start)
        last = first + len(self._text[start:old_end].encode("utf-8", "replace"))
        fresh = inserted.encode("utf-8", "replace")
        point = self._point(first)
        tree.edit(
            start_byte=first,
            old_end_byte=last,
            new_end_byte=first + len(fresh),
            start_point=point,
            old_end_point=point_behind(point, self.source[first:last]),
            new_end_point=point_behind(point, fresh),
        )
        return ParsedText(text, self._grammar, _old=tree, _edit_time=self._edit_time)

    def _point(self, byte: int) -> Point:
        line_start = self.source.rfind(b"\n", 0, byte) + 1
        return Point(self.source.count(b"\n", 0, byte), byte - line_start)

    def byte_at(self, offset: int) -> int:
        """Return where the character at `offset` begins in `source`."""
        return len(self._text[:offset].encode("utf-8", "replace"))

    def errors(self) -> int:
        """Count the places that the grammar could not read."""
        return _errors(self.root)

    def is_comment_at(self, offset: int) -> bool:
        """Return whether a cursor at `offset` stands in a comment."""
        position = self.byte_at(offset)
        for node in _nodes_around(self.root, max(0, position - 1), position):
            if node.type in self._grammar.comments and node.start_byte < position:
                # Rust's comments of documentation hold their line end, behind which they are over.
                is_line_comment = not self.source[node.start_byte : node.end_byte].endswith((b"*/", b"\n"))
                if position < node.end_byte or (is_line_comment and position == node.end_byte):
                    return True
        return False


def begins_block(text: str, offset: int, grammar: Grammar, *, is_unclosed: bool = False) -> bool:
    """Return whether a body begins at the cursor: the next statement would be the first of a block that has none yet.

    To see that, a statement is inserted at the cursor and found in the tree. Documentation may stand before it.
    `is_unclosed`: the body's closing brace is missing, so that what follows would count as part of it.
    """
    line_start = text.rfind("\n", 0, offset) + 1
    line_end = text.find("\n", offset)
    before = text[line_start:offset]
    after = text[offset : line_end if line_end >= 0 else len(text)]
    if after.strip(" \t)}];,"):
        return False
    hole = grammar.hole
    lead = ""
    if before.strip():
        opener = ":" if grammar.is_indented else "{"
        if not before.rstrip().endswith(opener):
            return False
        indent = before[: len(before) - len(before.lstrip())]
        lead = f"\n{indent}    "
        if not grammar.is_indented and "}" not in after:
            hole += "\n}"
    elif is_unclosed and not grammar.is_indented:
        hole += "\n}"
    try:
        parsed = ParsedText(text[:offset] + lead + hole + text[offset:], grammar)
    except NoTreeError:
        return False
    position = parsed.byte_at(offset + len(lead))
    for node in _nodes_around(parsed.root, position, position + 1):
        if node.type in grammar.blocks:
            break
        if node.start_byte < position and node.type not in ("statement_list", "ERROR"):
            return False
    else:
        return False
    statements = [child for child in _statements(node) if child.type not in grammar.comments]
    own = [child for child in statements if child.start_byte >= position]
    return len(own) == 1 and all(_is_documentation(child, grammar) for child in statements if child not in own)


def _nodes_around(root: Node, start: int, end: int) -> list[Node]:
    """Return the nodes around a range of bytes, the innermost first and `root` last."""
    innermost = root.descendant_for_byte_range(start, end)
    if innermost is None:
        return []
    nodes = [root]
    while nodes[-1] != innermost and (child := nodes[-1].child_with_descendant(innermost)) is not None:
        nodes.append(child)
    return nodes[::-1]


def _statements(block: Node) -> list[Node]:
    children = block.named_children
    if len(children) == 1 and children[0].type == "statement_list":  # Go
        return children[0].named_children
    return children


def _is_documentation(node: Node, grammar: Grammar) -> bool:
    return node.named_child_count == 1 and node.named_children[0].type in grammar.strings


def _errors(root: Node) -> int:
    """Count errors with a stack: generated code nests deeper than Python's own."""
    count, pending = 0, [root]
    while pending:
        node = pending.pop()
        if node.is_error or node.is_missing:
            count += 1
        elif node.has_error:
            inner = [child for child in node.children if child.is_error or child.is_missing or child.has_error]
            # At least one: a line end that Python's grammar missed is no child of the node that it makes erroneous.
            count += not inner
            pending += inner
    return count
