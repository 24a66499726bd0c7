#!/bin/sh
# Install submodel into /opt/submodel, an environment of its own, and link its program. Runs as root while the image is
# built, with the feature's options as environment variables.
set -eu

folder=/opt/submodel
version=${VERSION:-}
extra=
index=
if [ "${BUILD:-false}" = true ]; then
  extra='[build]'
  index=${TORCHINDEX-https://download.pytorch.org/whl/cpu}
fi

# No release is on the package index yet. Whatever stands there under this name is not ours.
if [ -z "$version" ] || [ "$version" = latest ]; then
  echo "submodel has no release on the package index yet; put a wheel into the feature's folder and name it in the option version." >&2
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
if [ -z "$python" ] && command -v apt-get >/dev/null; then
  apt-get update
  apt-get install --yes --no-install-recommends python3-venv
  rm -rf /var/lib/apt/lists/*
  if is_supported python3; then python=python3; fi
fi
if [ -z "$python" ]; then
  echo "submodel needs Python 3.11 to 3.14 with venv, which this image lacks; add the feature ghcr.io/devcontainers/features/python." >&2
  exit 1
fi

case $version in
  *://*) requirement="submodel$extra @ $version" ;;
  *.whl) requirement="submodel$extra @ file://$(realpath "$version")" ;; # relative to this script's folder, where it runs
  *) requirement="submodel$extra==$version" ;;
esac

"$python" -m venv "$folder"
"$folder/bin/python" -m pip install --no-cache-dir ${index:+--extra-index-url "$index"} "$requirement"
ln -sf "$folder/bin/submodel" /usr/local/bin/submodel
submodel --version
