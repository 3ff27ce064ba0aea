#!/usr/bin/env bash
# Emacs of the machine's own Debian, and lsp-mode 10 of a later one: the first with inline completion. Usage: emacs.sh FOLDER
set -euo pipefail
folder=$(realpath -m "${1:?folder}")
command -v emacs >/dev/null || { apt-get update -qq; apt-get install -y -qq --no-install-recommends emacs-nox >/dev/null; }
NO_DEPENDENCIES=1 "$(dirname "$0")/debian_into_folder.sh" "$folder" "${2:-forky}" \
  elpa-lsp-mode elpa-dash elpa-f elpa-ht elpa-s elpa-spinner elpa-markdown-mode elpa-lv
emacs --version | head -1
