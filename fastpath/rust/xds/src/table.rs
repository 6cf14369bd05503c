//! The shape of the generated table of fields.

#[rustfmt::skip]
#[path = "generated/table.rs"]
mod generated;

/// A message that is read.
#[derive(Debug)]
pub(crate) struct Message {
    /// Full name, such as `envoy.config.listener.v3.Listener`.
    pub(crate) name: &'static str,
    /// Every field that it has in Envoy's API, by ascending number.
    pub(crate) fields: &'static [Field],
}

/// A field of Envoy's API.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) number: u32,
    pub(crate) name: &'static str,
    pub(crate) repeated: bool,
    pub(crate) kind: Kind,
    pub(crate) status: Status,
    /// What to do instead of setting it; empty when there is nothing to say.
    pub(crate) hint: &'static str,
}

/// What a field holds, as far as the walker goes into it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Nothing to walk.
    Leaf,
    /// The message at this position of the table.
    Message(u16),
    /// A message with its type's name.
    Any,
    /// From names to `Any`.
    MapOfAny,
}

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// It is implemented.
    Read,
    /// It changes nothing that can be observed.
    Ignored,
    /// The agent reads it.
    Agent,
    /// It is refused.
    Refused,
}

impl Message {
    /// The message of this name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        let position = generated::MESSAGES.binary_search_by_key(&name, |message| message.name).ok()?;
        generated::MESSAGES.get(position)
    }

    /// The message at this position.
    pub(crate) fn at(position: u16) -> Option<&'static Self> {
        generated::MESSAGES.get(usize::from(position))
    }

    /// The field of this number.
    pub(crate) fn field(&self, number: u32) -> Option<&'static Field> {
        let position = self.fields.binary_search_by_key(&number, |field| field.number).ok()?;
        self.fields.get(position)
    }
}
