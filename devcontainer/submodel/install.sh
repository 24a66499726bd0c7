#!/bin/sh
# Install submodel into /opt/submodel, an environment of its own, and link its program. Runs as root while the image is
# built, with the feature's options as environment variables.
set -eu

folder=/opt/submodel
source=${SOURCE:-}
extra=
index=
if [ "${BUILD:-false}" = true ]; then
  extra='[build]'
  index=${TORCHINDEX-https://download.pytorch.org/whl/cpu}
fi

# Never by name: whatever the package index has under it may be anybody's. A path is below the feature's folder, where
# this script runs.
requirement=
case $source in
  *://*) requirement="submodel$extra @ $source" ;;
  ?*) if [ -e "./$source" ]; then requirement="./$source$extra"; fi ;;
esac
if [ -z "$requirement" ]; then
  echo "submodel was not installed: put a clone or a wheel of it into the feature's folder, and name it in the option source." >&2
  exit 1
fi

is_supported() {
  "$1" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null
}

python=
for candidate in /usr/local/python/current/bin/python3 python3 python3.14 python3.13 python3.12 python3.11; do
  if is_supported "$candidate"; then
    python=$candidate
    break
  fi
done
if [ -z "$python" ]; then
  echo "submodel needs Python 3.11 to 3.14 with venv, which this image lacks; add the feature ghcr.io/devcontainers/features/python." >&2
  exit 1
fi

"$python" -m venv "$folder"
"$folder/bin/python" -m pip install --no-cache-dir ${index:+--extra-index-url "$index"} "$requirement"
ln -sf "$folder/bin/submodel" /usr/local/bin/submodel
submodel --version
