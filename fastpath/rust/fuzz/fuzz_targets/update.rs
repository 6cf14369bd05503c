//! Any bytes as an update: no panic, and what was refused is refused again alike.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshloom_model::Compiler;

fuzz_target!(|bytes: &[u8]| {
    let mut compiler = Compiler::new();
    let first = compiler.apply(bytes);
    let again = compiler.apply(bytes);
    assert_eq!(first.rejected, again.rejected);
});
