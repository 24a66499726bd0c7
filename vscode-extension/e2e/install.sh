#!/usr/bin/env bash
# What the tests in a real editor need: code-server from the npm registry, and Chromium, from Debian where it is missing.
# Everything but Chromium lands in out/editor; a finished install is left alone.
set -euo pipefail
cd "$(dirname "$0")/.."

CODE_SERVER=4.100.3 # VS Code 1.100.3; the last that runs on Node 20
ARGON2=0.44.0       # ships its native part; the one that code-server asks for compiles it in an install script

if ! command -v chromium chromium-browser >/dev/null; then
  if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
    echo "Install chromium first; this script can do it as root on Debian only." >&2
    exit 1
  fi
  apt-get install -qq -y --no-install-recommends chromium >/dev/null ||
    { apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium >/dev/null; }
fi

stamp=out/editor/installed-$CODE_SERVER-$ARGON2
[ -e "$stamp" ] && exit 0
rm -rf out/editor
mkdir -p out/editor
cd out/editor
cp ../../.npmrc .
cat >package.json <<EOF
{
  "private": true,
  "dependencies": { "code-server": "$CODE_SERVER" },
  "overrides": { "argon2": "$ARGON2" }
}
EOF
# No install scripts: the parts that they compile (terminals, file watching by the system) have stand-ins or go unused.
npm install --ignore-scripts --loglevel=error
cd node_modules/code-server/lib/vscode
npm install --omit=dev --ignore-scripts --legacy-peer-deps --loglevel=error
ln -sfn node_modules node_modules.asar
(cd extensions && npm install --omit=dev --ignore-scripts --legacy-peer-deps --loglevel=error)
cd - >/dev/null
touch "../../$stamp"
