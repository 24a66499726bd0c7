"""What an update has to learn: the files that changed since the last version, and which of their lines are new."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any

from builder.corpus.changes import Renames, renames_since
from builder.corpus.corpus import Corpus, SourceFile
from builder.corpus.following import Followed, follow
from builder.corpus.split import Split
from builder.fim_examples import FimExample, draw_fim_examples, worthwhile_lines
from contract.console import StageDisplay
from contract.progress import OnProgress
from submodel.build.history import History
from submodel.build.new_lines import NewLines, OldTexts, past_texts


@dataclass(frozen=True, kw_only=True)
class UpdatePlan:
    """The repository's files in their earlier splits, and what becomes of those that no version has seen.

    found: SHA-256 of the texts of all files, those that are set aside among them. past: the texts of changed files, as
    they were. tried: SHA-256 of the texts that updates have read and were refused. is_drifted: the bundle that is there
    does not know all of `found`.
    """

    followed: Followed  # without what has nothing to learn among its fresh files
    new_lines: NewLines
    found: tuple[str, ...]
    past: tuple[str, ...]
    tried: frozenset[str]
    is_drifted: bool

    @property
    def corpus(self) -> Corpus:
        """The files that are learned from or scored."""
        return self.followed.corpus

    @cached_property
    def to_read(self) -> tuple[SourceFile, ...]:
        """Fresh files of code that are learned from or validated on."""
        return self.followed.fresh_to_learn

    @cached_property
    def to_learn(self) -> dict[str, str]:
        """Path → SHA-256 of the text of each file that is to be learned from."""
        return {file.path: file.sha256 for file in self.to_read if file.split == "calibration"}

    @cached_property
    def waiting(self) -> frozenset[str]:
        """The paths that refused updates have read, if there are others: this update reads only those."""
        waiting = frozenset(path for path, sha256 in self.to_learn.items() if sha256 in self.tried)
        return waiting if len(waiting) < len(self.to_learn) else frozenset[str]()

    @property
    def fresh(self) -> frozenset[str]:
        """The paths that are learned from first."""
        return self.followed.fresh - self.waiting

    def is_new(self, file: SourceFile, line: str) -> bool:
        """Whether a line of a file is new since the last version (`NewLines.is_new`)."""
        return self.new_lines.is_new(file, line)

    def not_learned(self, read: frozenset[str]) -> set[str]:
        """The paths to learn from that a fine-tuning has not learned; `read` are those that its kept steps read."""
        return self.to_learn.keys() - read

    def has_lines(self, split: Split) -> bool:
        """Whether a file of that split has a line to ask for."""
        return any(file.split == split and any(worthwhile_lines(file)) for file in self.corpus.files)

    def count(self) -> dict[str, int]:
        """Files of code that no version has seen as they are, by what becomes of them."""
        splits = [file.split for file in self._fresh_code]
        return {
            "to_learn": splits.count("calibration"),
            "to_validate": splits.count("validation"),
            "held_out": splits.count("held-out"),
            "set_aside": self.followed.set_aside,
        }

    def draw_unseen(self, seed: int) -> tuple[FimExample, ...]:
        """All lines of fresh files that no version has seen, as positions to complete, in an order drawn by `seed`."""
        fresh = self._fresh_code
        drawn = draw_fim_examples(fresh, sum(file.text.count("\n") + 1 for file in fresh), seed)
        known = (file.text for file in self.corpus.files if file.path not in self.followed.fresh)
        return self.new_lines.unseen(drawn, chain(known, self.past))

    @property
    def _fresh_code(self) -> list[SourceFile]:
        return [file for file in self.corpus.files if file.path in self.followed.fresh and file.is_code]


def _say_unknown_renames(commit: str, found: Renames | None) -> str:
    since = f"since the last version's commit, {commit[:10]}"
    count_as_new = "count as new, held-out ones too, so that figures may be too good"
    if found is not None:
        return (
            f"Git could compare no texts {since}: it lacks them, as in a partial clone, or it took too long. Files "
            f"that were renamed and changed {count_as_new}. A clone that was made without --filter follows them. Or "
            "run `submodel build`, which holds out other files"
        )
    return (
        f"Git can't list the renames {since}. Renamed files {count_as_new}. In a shallow clone run `git fetch "
        "--unshallow`. A partial clone may lack what is needed: use one that was made without --filter. Or run "
        "`submodel build`, which holds out other files"
    )


def _may_have_moved(found: Corpus, history: History) -> bool:
    """Whether a held-out file is gone, and another one is new."""
    paths = {file.path for file in found.files}
    is_gone = any(place == "held-out" and path not in paths for path, place in history.known.paths.items())
    return is_gone and not paths <= history.known.paths.keys()


def plan_update(
    made: Mapping[str, Any],
    display: StageDisplay,
    found: Corpus,
    history: History,
    served: Mapping[str, Any],
    advance: OnProgress,
) -> UpdatePlan:
    """Compare the files that were found with those of the last version.

    made, served: the manifests of the model and of the bundle that are there. What git can't tell is said, and such
    files count as new.
    """
    renames = renames_since(found.root, history.commit)
    if history.commit is not None and (renames is None or renames.exact_only):
        display.say(_say_unknown_renames(history.commit, renames))
    if history.commit is None and _may_have_moved(found, history):
        display.say(
            "The last version was made of no commit, so that renamed files are not known. They count as new, held-out "
            "ones too, and figures may be too good."
        )
    old = OldTexts(found.root, history.commit, lambda: advance(0, 0))
    past = past_texts(found, history, old)
    moved = {} if renames is None else renames.paths
    since_last: Mapping[str, str] = {}
    if history.looked_at not in (None, history.commit):  # files that the last update saw first have moved since
        looked_at = renames_since(found.root, history.looked_at)
        since_last = {} if looked_at is None else looked_at.paths
        seen_last = OldTexts(found.root, history.looked_at, lambda: advance(0, 0))
        texts = {one.text for one in past}
        past += [one for one in past_texts(found, history, seen_last) if one.text not in texts]
    followed = follow(found, history.known, {**since_last, **moved}, past)
    read = frozenset(made.get("learned_sha256", ())) | frozenset(made.get("held_out_sha256", ()))
    new_lines = NewLines(old, history, moved, followed.fresh, read)
    # Nothing would ever reach a file without a new line: it counts as learned.
    done = {file.path for file in followed.fresh_to_learn if not new_lines.is_to_learn(file)}
    if (left_out := old.say_left_out()) is not None:
        display.say(left_out)
    hashes = tuple(file.sha256 for file in found.files)
    known = (served.get(name, ()) for name in ("learned_sha256", "held_out_sha256", "seen_sha256"))
    return UpdatePlan(
        followed=replace(followed, fresh=followed.fresh - done),
        new_lines=new_lines,
        found=hashes,
        past=tuple(one.text for one in past),
        tried=frozenset(history.tried),
        is_drifted=not set(hashes) <= set(chain(*known)),
    )
