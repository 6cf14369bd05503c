//! Access logs: where to, which requests, in what form.

use std::path::Path;
use std::sync::Arc;

use crate::flags::ResponseFlags;
use crate::matcher::HeaderMatcher;
use crate::template::{Placeholder, Template, Values};

mod json;

/// One access log.
#[derive(Clone, Debug)]
pub struct AccessLog {
    /// Where lines go.
    pub sink: LogSink,
    /// What a line says.
    pub format: LogFormat,
    /// Which requests are logged; `None` is all of them.
    pub filter: Option<LogFilter>,
}

/// Where an access log goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LogSink {
    /// A file, opened for appending.
    File(Arc<Path>),
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What a line says.
#[derive(Clone, Debug)]
pub enum LogFormat {
    /// A text, with its own line end. Missing values are printed as `missing` (`-`, or nothing with
    /// `omit_empty_values`).
    Text { template: Template, missing: &'static str },
    /// One JSON object a line.
    Json { object: JsonObject, omit_empty: bool },
}

impl LogFormat {
    /// Appends the line for one request.
    pub fn render(&self, values: &impl Values, out: &mut Vec<u8>) {
        match self {
            Self::Text { template, missing } => template.render(values, missing, out),
            Self::Json { object, omit_empty } => {
                json::object(object, values, *omit_empty, out);
                out.push(b'\n');
            }
        }
    }
}

/// A JSON object of a log format, its keys in alphabetical order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JsonObject(pub Box<[(Box<str>, JsonValue)]>);

/// A value in a JSON log format.
#[derive(Clone, Debug, PartialEq)]
pub enum JsonValue {
    /// One command alone: a number stays a number, a missing value is `null`.
    Value(Placeholder),
    /// Any other text.
    Text(Template),
    /// A number, boolean or null that stands for itself, as JSON text.
    Literal(Box<str>),
    /// An object.
    Object(JsonObject),
    /// A list.
    List(Box<[JsonValue]>),
}

/// Which requests are logged.
#[derive(Clone, Debug)]
pub enum LogFilter {
    /// By the status sent downstream (0 when none was).
    Status(Comparison),
    /// By the duration in milliseconds.
    DurationMs(Comparison),
    /// Those with one of these flags; an empty set means any flag at all.
    Flags(ResponseFlags),
    /// By a request header.
    Header(Box<HeaderMatcher>),
    /// All but health checks (nothing here marks a request as one, so all).
    NotHealthCheck,
    /// A share of the requests, in millionths; by a hash of `x-request-id` unless `independent`.
    Sample { millionths: u32, independent: bool },
    /// All of these.
    And(Box<[LogFilter]>),
    /// Any of these.
    Or(Box<[LogFilter]>),
}

/// A test on a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Exactly this.
    Equal(u64),
    /// This or more.
    AtLeast(u64),
    /// This or less.
    AtMost(u64),
    /// Anything else.
    NotEqual(u64),
}

impl Comparison {
    /// Does the number pass?
    pub fn matches(&self, number: u64) -> bool {
        match self {
            Self::Equal(want) => number == *want,
            Self::AtLeast(want) => number >= *want,
            Self::AtMost(want) => number <= *want,
            Self::NotEqual(want) => number != *want,
        }
    }
}

#[cfg(test)]
mod tests;
