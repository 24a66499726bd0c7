"""llama.cpp's greedy tokens: `python llama_cpp_answers.py FILE.gguf < prompts.json`, as those in javascript/.

Run by any Python that has llama-cpp-python; it imports nothing of this project.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import islice

import llama_cpp

request = json.load(sys.stdin)
model = llama_cpp.Llama(model_path=sys.argv[1], n_ctx=1024, n_threads=2, verbose=False)
answers = []
started = time.perf_counter()
for ids in request["prompts"]:
    steps = model.generate(ids, top_k=1, temp=0.0, repeat_penalty=1.0)
    answers.append([int(token) for token in islice(steps, request["tokens"])])
seconds = time.perf_counter() - started
json.dump({"answers": answers, "seconds": seconds, "version": llama_cpp.__version__}, sys.stdout)
