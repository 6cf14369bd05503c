//! Finds the fields of a resource that are set but not implemented.

use std::collections::HashMap;
use std::fmt;

use crate::table::{Field, Kind, Message, Status};
use crate::type_name;
use crate::wire::{Malformed, RawField, next};

/// Messages inside each other at most, as in prost.
const MAX_DEPTH: usize = 100;
/// Refusals reported at most for one resource.
const MAX_REFUSALS: usize = 16;

/// A part of a resource that is not implemented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Where, in the names of the API: `filter_chains[0].filters[0].typed_config.tracing`.
    pub path: String,
    /// Why.
    pub reason: Reason,
}

/// Why a part of a resource is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The field is known but not implemented; the text says what to do instead.
    Field(&'static str),
    /// The message has no such field.
    UnknownField(u32),
    /// No extension of this type is known.
    Extension(String),
    /// The bytes are not a message.
    Malformed,
    /// Messages are nested too deep.
    TooDeep,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field("") => f.write_str("this field is not supported"),
            Self::Field(hint) => write!(f, "this field is not supported: {hint}"),
            Self::UnknownField(number) => write!(f, "field {number} is unknown to this version"),
            Self::Extension(name) if name.is_empty() => f.write_str("the type of the extension is missing"),
            Self::Extension(name) => write!(f, "the extension {} is not supported", name.escape_debug()),
            Self::Malformed => f.write_str("these bytes are not a valid message"),
            Self::TooDeep => write!(f, "messages are nested more than {MAX_DEPTH} deep"),
        }
    }
}

/// Everything in a resource that is not implemented, the first sixteen findings at most. Empty means that the resource
/// may be decoded without losing anything.
pub fn refusals(type_url: &str, bytes: &[u8]) -> Vec<Refusal> {
    let mut walk = Walk { path: Vec::new(), found: Vec::new() };
    match Message::named(type_name(type_url)) {
        Some(message) => walk.message(message, bytes),
        None => walk.refuse(Reason::Extension(type_name(type_url).to_owned())),
    }
    walk.found
}

enum Step {
    Field(&'static str),
    Item(usize),
    Key(String),
}

struct Walk {
    path: Vec<Step>,
    found: Vec<Refusal>,
}

impl Walk {
    fn message(&mut self, message: &'static Message, mut bytes: &[u8]) {
        let mut seen: HashMap<u32, usize> = HashMap::new();
        while !bytes.is_empty() && self.found.len() < MAX_REFUSALS {
            let Ok(raw) = next(&mut bytes) else { return self.refuse(Reason::Malformed) };
            let Some(field) = message.field(raw.number) else {
                self.refuse(Reason::UnknownField(raw.number));
                continue;
            };
            self.path.push(Step::Field(field.name));
            match field.repeated {
                true => self.item(field, &raw, seen.entry(raw.number).or_default()),
                false => self.field(field, &raw),
            }
            self.path.pop();
        }
    }

    fn item(&mut self, field: &'static Field, raw: &RawField<'_>, count: &mut usize) {
        self.path.push(Step::Item(*count));
        *count += 1;
        self.field(field, raw);
        self.path.pop();
    }

    fn field(&mut self, field: &'static Field, raw: &RawField<'_>) {
        if self.path.len() > 2 * MAX_DEPTH {
            return self.refuse(Reason::TooDeep);
        }
        match (field.status, field.kind) {
            (Status::Refused, _) => self.refuse(Reason::Field(field.hint)),
            (Status::Ignored | Status::Agent, _) | (Status::Read, Kind::Leaf) => {}
            (Status::Read, Kind::Message(position)) => match Message::at(position) {
                Some(message) => self.message(message, raw.content),
                None => self.refuse(Reason::Malformed),
            },
            (Status::Read, Kind::Any) => self.any(raw.content),
            (Status::Read, Kind::MapOfAny) => self.entry(raw.content),
        }
    }

    /// The message in an `Any`.
    fn any(&mut self, bytes: &[u8]) {
        let Ok((type_url, value)) = two_fields(bytes) else { return self.refuse(Reason::Malformed) };
        let type_url = String::from_utf8_lossy(type_url);
        match Message::named(type_name(&type_url)) {
            Some(message) => self.message(message, value),
            None => self.refuse(Reason::Extension(type_name(&type_url).to_owned())),
        }
    }

    /// One entry of a map.
    fn entry(&mut self, bytes: &[u8]) {
        let Ok((key, value)) = two_fields(bytes) else { return self.refuse(Reason::Malformed) };
        self.path.push(Step::Key(String::from_utf8_lossy(key).into_owned()));
        self.any(value);
        self.path.pop();
    }

    fn refuse(&mut self, reason: Reason) {
        let mut path = String::new();
        for step in &self.path {
            match step {
                Step::Field(name) if path.is_empty() => path.push_str(name),
                Step::Field(name) => path.extend([".", name]),
                Step::Item(position) => path.push_str(&format!("[{position}]")),
                Step::Key(key) => path.push_str(&format!("[{}]", quoted(key))),
            }
        }
        self.found.push(Refusal { path, reason });
    }
}

/// The key of a map in a path, as a string of JSON: whoever reads paths need not know how Rust quotes.
pub fn quoted(key: &str) -> String {
    let mut text = String::from("\"");
    for letter in key.chars() {
        match letter {
            '"' | '\\' => text.extend(['\\', letter]),
            '\0'..='\x1f' => text.push_str(&format!("\\u{:04x}", u32::from(letter))),
            _ => text.push(letter),
        }
    }
    text.push('"');
    text
}

/// The content of the fields 1 and 2, which an `Any` and the entry of a map have. The last of each counts.
fn two_fields(mut bytes: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let (mut first, mut second): (&[u8], &[u8]) = (&[], &[]);
    while !bytes.is_empty() {
        let raw = next(&mut bytes)?;
        match raw.number {
            1 => first = raw.content,
            2 => second = raw.content,
            _ => {}
        }
    }
    Ok((first, second))
}

#[cfg(test)]
mod tests;
