#!/usr/bin/env bash
# Neovim 0.12 or newer from Debian's next release, in a folder of its own with its own C library: nothing of the machine
# itself is replaced. Usage: neovim_0.12.sh FOLDER [SUITE]
set -euo pipefail
folder=$(realpath -m "${1:?folder}") suite=${2:-forky}
command -v patchelf >/dev/null || apt-get install -y -qq patchelf >/dev/null
"$(dirname "$0")/debian_into_folder.sh" "$folder" "$suite" neovim
root=$folder/root
# The program itself names its loader and libraries: a wrapper around the loader breaks the terminal interface, which
# starts /proc/self/exe, and LD_LIBRARY_PATH would reach every program that Neovim starts.
patchelf --set-interpreter "$root/usr/lib64/ld-linux-x86-64.so.2" --force-rpath \
  --set-rpath "$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu" "$root/usr/bin/nvim"
cat > "$folder/nvim" <<W
#!/bin/sh
export VIM=$root/usr/share/nvim VIMRUNTIME=$root/usr/share/nvim/runtime
exec $root/usr/bin/nvim "\$@"
W
chmod +x "$folder/nvim"
"$folder/nvim" --version | head -1
