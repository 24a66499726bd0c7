"""Decoding, from token ids to token ids: the graph's session, the KV cache, greedy steps with drafts, the hardware."""
