#!/usr/bin/env bash
# Builds netsec twice from the tree that is checked out, each time from nothing, and fails unless the bytes are the same; the first of
# them goes to the folder that is named. What could differ is set: paths, times, the language.
set -euo pipefail
to=$1
export LC_ALL=C CARGO_INCREMENTAL=0
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export RUSTFLAGS="--remap-path-prefix=$folder/build=/netsec --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
for turn in one two; do
  git clone --quiet . "$folder/build"
  (cd "$folder/build" && CARGO_TARGET_DIR="$folder/build/target" cargo build --release --locked --bin netsec)
  mv "$folder/build/target/release/netsec" "$folder/$turn"
  rm -rf "$folder/build"
done
cmp "$folder/one" "$folder/two"
mkdir -p "$to"
cp "$folder/one" "$to/netsec"
sha256sum "$to/netsec"
