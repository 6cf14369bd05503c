//! The worker's own log: events with fields on standard error, one line each. Never one per request.

use std::fmt::{Display, Write as _};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// 0 trace ... 6 off, as Envoy numbers its levels.
static LEVEL: AtomicU8 = AtomicU8::new(2);

/// Takes one of Envoy's level names; other names change nothing.
pub(crate) fn set_level(name: &str) {
    let level = match name {
        "trace" => 0,
        "debug" => 1,
        "info" => 2,
        "warning" | "warn" => 3,
        "error" => 4,
        "critical" => 5,
        "off" => 6,
        _ => return,
    };
    LEVEL.store(level, Relaxed);
}

fn emit(level: u8, name: &str, event: &str, fields: &[(&str, &dyn Display)]) {
    if level < LEVEL.load(Relaxed) {
        return;
    }
    let mut line = format!("[worker {}][{name}] {event}", std::process::id());
    for (key, value) in fields {
        // Writing into a string cannot fail.
        let _ = write!(line, " {key}={:?}", value.to_string());
    }
    eprintln!("{line}");
}

pub(crate) fn debug(event: &str, fields: &[(&str, &dyn Display)]) {
    emit(1, "debug", event, fields);
}

pub(crate) fn info(event: &str, fields: &[(&str, &dyn Display)]) {
    emit(2, "info", event, fields);
}

pub(crate) fn warning(event: &str, fields: &[(&str, &dyn Display)]) {
    emit(3, "warning", event, fields);
}

pub(crate) fn error(event: &str, fields: &[(&str, &dyn Display)]) {
    emit(4, "error", event, fields);
}
