#!/usr/bin/env bash
# Fuzzes each target for some seconds: fastpath/rust/fuzz/run.sh [SECONDS [TARGET...]]. Works with the stable toolchain:
# the coverage counters that cargo-fuzz would ask a nightly compiler for come from LLVM's own pass.
# With --keep for SECONDS nothing is fuzzed: what corpus/ (ignored by git) has found is minimised into seeds/TARGET.tar.gz.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-60}
shift || true
targets=("$@")
[[ ${#targets[@]} -gt 0 ]] || targets=(connection chunks reencode hpack h2frames downgrade path update proxy_protocol sniff)

flags="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
flags+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
flags+=" -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
triple=$(rustc -vV | sed -n 's/^host: //p')

# Fewest inputs that reach all that the corpus reaches, in one file: they are thousands. Seeds named by hand stay beside it.
keep() {
    local target=$1 merged
    merged=$(mktemp -d)
    "target/$triple/release/$target" -merge=1 -max_len=1024 "$merged" "seeds/$target" "corpus/$target"
    tar --create --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --directory="$merged" . | gzip -n >"seeds/$target.tar.gz"
    rm -r "$merged"
}

for target in "${targets[@]}"; do
    # With an explicit triple the flags do not reach build scripts, which could not link the counters.
    RUSTFLAGS="$flags" cargo build --quiet --release --target "$triple" --bin "$target"
    mkdir -p "corpus/$target" "artifacts/$target"
    [[ ! -e seeds/$target.tar.gz ]] || tar -xzf "seeds/$target.tar.gz" -C "corpus/$target" --skip-old-files
    if [[ $seconds == --keep ]]; then
        keep "$target"
        continue
    fi
    "target/$triple/release/$target" -max_total_time="$seconds" -max_len=4096 -dict=http1.dict -print_final_stats=1 \
        -artifact_prefix="artifacts/$target/" -close_fd_mask=1 "corpus/$target" seeds/"$target"
done
