#!/usr/bin/env bash
# Unpacks a Debian package of another suite, and all that it depends on, below FOLDER/root; the machine's own packages
# stay as they are. NO_DEPENDENCIES=1 leaves the dependencies out. Usage: debian_into_folder.sh FOLDER SUITE PACKAGE...
set -euo pipefail
folder=$(realpath -m "${1:?folder}") suite=${2:?suite}; shift 2
apt=$folder/apt
mkdir -p "$apt"/{lists/partial,cache/archives/partial,sources,etc} "$folder/root"
: > "$apt/status"
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -E '/debian/?$' | head -1 || true)
if [ -z "$mirror" ]; then
  apt-get update -qq
  mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -E '/debian/?$' | head -1)
fi
cat > "$apt/sources/other.sources" <<S
Types: deb
URIs: $mirror
Suites: $suite
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
S
options=(-qq -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$apt/sources" -o "Dir::State::lists=$apt/lists"
  -o "Dir::Cache=$apt/cache" -o "Dir::State::status=$apt/status" -o "Dir::Etc::preferencesparts=$apt/etc"
  -o Dir::Etc::preferences=/dev/null -o APT::Sandbox::User=root -o Acquire::Languages=none -o Debug::NoLocking=1
  -o APT::Update::Post-Invoke-Success=)
apt-get "${options[@]}" update
if [ -n "${NO_DEPENDENCIES:-}" ]; then
  (cd "$apt/cache/archives" && apt-get "${options[@]}" download "$@")
else
  apt-get "${options[@]}" -y --no-install-recommends --download-only install "$@"
fi
for package in "$apt"/cache/archives/*.deb; do
  case $(basename "$package") in debconf_* | dpkg_* | tar_* | base-files_*) continue ;; esac
  dpkg-deb -x "$package" "$folder/root"
done
rm -rf "$apt"
