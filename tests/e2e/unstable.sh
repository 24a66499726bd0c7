#!/usr/bin/env bash
# Unpacks packages of Debian's unstable, with all that they need, into a folder: versions that a stable system lacks.
# Arguments: the folder, then packages. Nothing is installed; apt checks the signatures. Needs dpkg, apt and patchelf.
set -euo pipefail
folder=$1
shift
mirror=$(awk '$1 == "URIs:" { print $2; exit }' /etc/apt/sources.list.d/debian.sources)
key=/usr/share/keyrings/debian-archive-keyring.pgp
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch"/{state/lists/partial,cache/archives/partial,packages}
touch "$scratch/state/status"
echo "deb [signed-by=$key] $mirror sid main" >"$scratch/sources.list"
# Check-Valid-Until: a mirror may be some weeks behind.
cat >"$scratch/apt.conf" <<END
Dir::State "$scratch/state"; Dir::State::status "$scratch/state/status"; Dir::Cache "$scratch/cache";
Dir::Etc::sourcelist "$scratch/sources.list"; Dir::Etc::sourceparts "/dev/null";
Acquire::Check-Valid-Until "false"; APT::Sandbox::User "root";
END
export APT_CONFIG=$scratch/apt.conf
apt-get update -qq
apt-get install -qq -y --no-install-recommends --download-only "$@" >/dev/null
for package in "$scratch"/cache/archives/*.deb; do
  dpkg-deb -x "$package" "$scratch/packages"
done
# Programs find the loader and the libraries that they were unpacked with.
rm -rf "$folder"
mkdir -p "$(dirname "$folder")"
mv "$scratch/packages" "$folder"
libraries=$(dirname "$(find "$folder/usr/lib" -name libc.so.6 | head -1)")
loader=$(find "$folder/usr" -name 'ld-linux-*.so.*' | head -1)
for program in "$folder"/usr/bin/nvim; do
  patchelf --set-interpreter "$loader" --force-rpath --set-rpath "$libraries" "$program"
done
