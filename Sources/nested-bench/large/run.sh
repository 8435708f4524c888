#!/bin/sh
# Figures of large models, one line of JSON each: a training step of those below 1 B parameters; saving; decoding from a
# copy of the file and from the file mapped. Files go to a temporary folder, and away.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT INT TERM
${CC:-cc} -O2 -Wall -Wextra -I"$here/../../../include" -o "$folder/large" "$here/large.c" -L"$NESTED_LIB" -lnested \
  -Wl,-rpath,"$NESTED_LIB"
for preset in "$@"; do
  case $preset in
    *b) ;;
    *) "$folder/large" train "$preset" "${TOKENS:-512}" "${STEPS:-2}" ;;
  esac
  "$folder/large" save "$preset" "$folder/model"
  for way in copy map; do "$folder/large" decode "$folder/model" "${DECODE:-32}" $way; done
  rm "$folder/model"
done
