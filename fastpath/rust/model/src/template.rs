//! Texts with `%COMMANDS%`, shared by access logs and header values.
//!
//! A template is parsed once, when its resource is compiled. To render it the engine answers for one command at a time
//! through [`Values`]; this file knows nothing of requests.

mod command;
mod parse;
mod time;
mod tls;

pub use command::{AddressPart, Command, GrpcStatusFormat, PathPart, PathSource, Point};
pub use parse::InvalidTemplate;
pub use time::TimeFormat;
pub use tls::{CertificateField, Digest, TlsField};

/// Where a template's values come from: a request, a response, a connection.
pub trait Values {
    /// Appends the command's value and says `true`; `false` when there is none, and then nothing may be appended.
    fn write(&self, command: &Command, out: &mut Vec<u8>) -> bool;
}

/// One part of a template.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// Text that stands for itself.
    Literal(Box<str>),
    /// A value.
    Value(Placeholder),
}

/// A command and how much of its value is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Placeholder {
    /// What to print.
    pub command: Command,
    /// Longest output in bytes (`%REQ(X):10%`).
    pub max_len: Option<usize>,
}

impl Placeholder {
    /// Appends the value, cut to its longest length; `false` when there is none.
    pub fn render(&self, values: &impl Values, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let written = values.write(&self.command, out);
        if let Some(max_len) = self.max_len {
            out.truncate(start.saturating_add(max_len).min(out.len()));
        }
        written
    }
}

/// A text with values in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Template {
    pieces: Box<[Piece]>,
}

impl Template {
    /// Parses `text %COMMAND(ARGUMENT):LENGTH% text`; `%%` is a percent sign.
    pub fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        parse::pieces(text).map(|pieces| Self { pieces: pieces.into() })
    }

    /// The parts, in order.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The text, when the template has no command in it.
    pub fn as_literal(&self) -> Option<&str> {
        match &*self.pieces {
            [] => Some(""),
            [Piece::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Appends the text; a value that is missing is printed as `missing` (`-` in logs, nothing in headers).
    pub fn render(&self, values: &impl Values, missing: &str, out: &mut Vec<u8>) {
        for piece in &*self.pieces {
            match piece {
                Piece::Literal(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Value(placeholder) => {
                    if !placeholder.render(values, out) {
                        out.extend_from_slice(missing.as_bytes());
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
