"""From token ids to token ids: the graph's session, its cache, greedy steps with drafts, what a machine can give."""
