"""The first steps on an accelerator, which may open a session and then fail, or compute nonsense."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lsp_server.decoding.decoder import Decoder

PROBE = "def add(first, second):\n    return first + "
PROBE_TOKENS = 8  # of the text
# Of the largest logit. Rounding differs by up to 0.05 between one step and several, and keys that are not those of the
# step before by 0.8 or more (Qwen2.5-Coder-0.5B in int8, 2 to 12 tokens).
MAX_DIFFERENCE = 0.25


def find_fault(decoder: Decoder, token_ids: Sequence[int]) -> str | None:
    """Return what is wrong with the decoder's logits after `token_ids` (at least two); None if nothing is.

    They are read at once, then one by one: the second way needs the keys and values of each step before. The decoder's
    cache holds nothing afterwards. Raises ServeError or EngineCrash as `feed` does.
    """
    cache = decoder.cache
    cache.keep(0)
    at_once = decoder.feed(token_ids)[0].copy()
    cache.keep(0)
    for token in token_ids:
        one_by_one = decoder.feed([token])[0]
    cache.keep(0)
    if not (np.isfinite(at_once).all() and np.isfinite(one_by_one).all()):
        return "its logits are no finite numbers"
    difference, most = np.abs(one_by_one - at_once).max(), MAX_DIFFERENCE * np.abs(at_once).max()
    return None if difference <= most else "its logits differ between one step and several"
