#!/usr/bin/env bash
# What the tests of other programs need. What is here already is left alone.
# - Debian: Neovim, Chromium and Node, where this is root on Debian.
# - PyPI: the extra "peers" (Ray, llama.cpp, onnxruntime-genai), wheels only.
# - npm: transformers.js and onnxruntime-node, into the user's cache.
# - The base whose tokenizer is compared with llama.cpp's, 491 MB, into the user's cache.
set -euo pipefail
cd "$(dirname "$0")/../.."
PYTHON=${PYTHON:-.venv/bin/python}

missing=()
for program in nvim:neovim chromium:chromium node:nodejs npm:npm; do
  command -v "${program%%:*}" >/dev/null || missing+=("${program##*:}")
done
if [ ${#missing[@]} -gt 0 ]; then
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null ||
      { apt-get update -qq && apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null; }
  else
    echo "Not installed, since this is not root on Debian: ${missing[*]}. Their tests will be skipped." >&2
  fi
fi
"$PYTHON" -m pip install --quiet --only-binary :all: --editable '.[peers]'
if command -v npm >/dev/null; then
  "$PYTHON" -c 'from testbed.runtimes import install_packages; install_packages()'
fi
"$PYTHON" -c 'from builder.bases import catalogue, download; download.fetch_gguf(catalogue.QWEN_CODER_SMALL)'
