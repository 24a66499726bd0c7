#!/usr/bin/env bash
# What the tests of other programs need. What is here already is left alone.
# - Debian: editors, Chromium and Node, where this is root on Debian, or in CI with sudo; newer versions of two of them
#   from its unstable.
# - PyPI: the extra "peers" (Ray, llama.cpp, onnxruntime-genai), wheels only.
# - npm: transformers.js and onnxruntime-node, into the user's cache.
# - PyPI, if JUPYTERLAB is set: JupyterLab with an extension, 1.1 GB, into the user's cache.
# - The base whose tokenizer is compared with llama.cpp's, 491 MB, into the user's cache.
set -euo pipefail
cd "$(dirname "$0")/../.."
PYTHON=${PYTHON:-.venv/bin/python}

missing=()
for program in nvim:neovim chromium:chromium node:nodejs npm:npm tmux:tmux vim:vim emacs:emacs-nox hx:hx patchelf:patchelf; do
  command -v "${program%%:*}" >/dev/null || missing+=("${program##*:}")
done
for plugin in vim-ale elpa-lsp-mode; do
  [ -e "/usr/share/doc/$plugin" ] || missing+=("$plugin")
done
if [ ${#missing[@]} -gt 0 ]; then
  as_root=()
  if [ -n "${CI:-}" ] && [ "$(id -u)" != 0 ] && sudo -n true 2>/dev/null; then as_root=(sudo -n); fi
  if command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || [ ${#as_root[@]} -gt 0 ]; }; then
    install=("${as_root[@]}" apt-get install -qq -y --no-install-recommends)
    # One by one if not together: an older system lacks some of the editors.
    "${install[@]}" "${missing[@]}" >/dev/null 2>&1 || {
      "${as_root[@]}" apt-get update -qq
      "${install[@]}" "${missing[@]}" >/dev/null || for package in "${missing[@]}"; do
        "${install[@]}" "$package" >/dev/null || echo "Not installed: $package. Its tests will be skipped." >&2
      done
    }
  else
    echo "Not installed, since this is not root on Debian: ${missing[*]}. Their tests will be skipped." >&2
  fi
fi
unstable=$("$PYTHON" -c 'from testbed.editors import UNSTABLE; print(UNSTABLE)')
if [ ! -e "$unstable" ] && command -v patchelf >/dev/null; then
  tests/e2e/unstable.sh "$unstable" neovim elpa-lsp-mode ||
    echo "Neovim 0.12 and lsp-mode 10 are not available here. Their tests will be skipped." >&2
fi
"$PYTHON" -m pip install --quiet --only-binary :all: --editable '.[peers]'
if command -v npm >/dev/null; then
  "$PYTHON" -c 'from testbed.runtimes import install_packages; install_packages()'
fi
if [ -n "${JUPYTERLAB:-}" ]; then
  "$PYTHON" -c 'from testbed.jupyterlab import install; install()'
fi
"$PYTHON" -c 'from builder.bases import catalogue, download; download.fetch_gguf(catalogue.QWEN_CODER_SMALL)'
