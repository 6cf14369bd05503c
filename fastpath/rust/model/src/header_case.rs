//! How HTTP/1 spells the names of fields. They mean the same in any case (RFC 9110 5.1), but some peers look closer.

/// How one side of the proxy spells the names of fields that it writes, or remembers those that it reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeaderCase {
    /// In lower case.
    #[default]
    Lower,
    /// Letters that begin a word are written large: `X-Request-Id`.
    ProperWords,
    /// Names in the messages that are read on this side stay as they came when these go on; others are in lower case.
    Preserve(PreserveCase),
}

impl HeaderCase {
    /// What messages that are read on this side take along.
    #[must_use]
    pub fn preserved(self) -> Option<PreserveCase> {
        match self {
            Self::Preserve(preserve) => Some(preserve),
            Self::Lower | Self::ProperWords => None,
        }
    }
}

/// What a message takes along of how it was spelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PreserveCase {
    /// The reason phrase of a response goes on too.
    pub reason_phrase: bool,
    /// Names that the message did not have are written as [`HeaderCase::ProperWords`], instead of in lower case.
    pub proper_others: bool,
}
