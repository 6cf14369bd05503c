//! The fields of one head, as places in its buffer.

use super::{KnownHeader, Span};

/// One field line. `value` has no white space at its ends and may be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub name: Span,
    pub value: Span,
    /// What the name is, if it is one that this codec knows.
    pub id: Option<KnownHeader>,
    pub scope: Scope,
}

/// Who a field is for, which decides whether a proxy copies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The next hop too: copy it, or what the configuration makes of it.
    EndToEnd,
    /// Host, Content-Length: the next hop needs them, but written from what the head was understood to say.
    Rewrite,
    /// This connection only (RFC 9110 7.6.1), or named by the Connection field: never copy it.
    HopByHop,
}

/// What most heads have at most.
const ORDINARY_FIELDS: usize = 32;

/// Storage for the fields of a head, made once and used for many messages.
///
/// Fields keep their order. The first field of each [`KnownHeader`] is found without a search.
#[derive(Clone, Debug)]
pub struct Headers {
    fields: Vec<Header>,
    /// Index of the first field with this id; means something only where `present` has the bit.
    first: [u16; KnownHeader::COUNT],
    present: u128,
    repeated: u128,
}

impl Default for Headers {
    fn default() -> Self {
        Self::new()
    }
}

impl Headers {
    /// Takes no memory until it is parsed into; then it grows up to `Limits::fields` as heads need it, and keeps what it
    /// has. So it may be taken and put back without cost.
    #[must_use]
    pub const fn new() -> Self {
        Self { fields: Vec::new(), first: [0; KnownHeader::COUNT], present: 0, repeated: 0 }
    }

    pub fn clear(&mut self) {
        self.fields.clear();
        self.present = 0;
        self.repeated = 0;
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// All fields as received, hop-by-hop ones too.
    pub fn iter(&self) -> impl Iterator<Item = &Header> {
        self.fields.iter()
    }

    /// What a proxy copies as it is: neither hop-by-hop fields nor those that it writes anew.
    pub fn end_to_end(&self) -> impl Iterator<Item = &Header> {
        self.fields.iter().filter(|field| field.scope == Scope::EndToEnd)
    }

    #[inline]
    #[must_use]
    pub fn contains(&self, id: KnownHeader) -> bool {
        self.present & bit(id) != 0
    }

    /// Whether there is more than one field line of this name.
    #[inline]
    #[must_use]
    pub fn is_repeated(&self, id: KnownHeader) -> bool {
        self.repeated & bit(id) != 0
    }

    /// The first field of this name.
    #[inline]
    #[must_use]
    pub fn get(&self, id: KnownHeader) -> Option<&Header> {
        if !self.contains(id) {
            return None;
        }
        self.first.get(id as usize).and_then(|index| self.fields.get(usize::from(*index)))
    }

    /// The value of the first field of this name.
    #[inline]
    #[must_use]
    pub fn value<'b>(&self, id: KnownHeader, buf: &'b [u8]) -> Option<&'b [u8]> {
        self.get(id).map(|field| field.value.of(buf))
    }

    /// All fields of this name, in order.
    pub fn all(&self, id: KnownHeader) -> impl Iterator<Item = &Header> {
        let from = if self.contains(id) { self.first.get(id as usize).copied() } else { None };
        let skip = from.map_or(self.fields.len(), usize::from);
        self.fields.iter().skip(skip).filter(move |field| field.id == Some(id))
    }

    /// All fields of a name given in any case, in order, but none that the Connection field names: those are not for
    /// the next hop, so nobody may decide by them either.
    pub fn find<'a>(&'a self, name: &'a [u8], buf: &'a [u8]) -> impl Iterator<Item = &'a Header> {
        let id = KnownHeader::from_name(name);
        self.fields.iter().filter(move |field| match id {
            Some(known) => field.id == id && self.contains(known),
            None => field.scope == Scope::EndToEnd && field.name.of(buf).eq_ignore_ascii_case(name),
        })
    }

    /// Forgets the fields and makes room for those of an ordinary head.
    pub(crate) fn begin(&mut self) {
        self.clear();
        self.fields.reserve(ORDINARY_FIELDS);
    }

    #[inline]
    pub(crate) fn push(&mut self, name: Span, value: Span, id: Option<KnownHeader>) {
        let scope = id.map_or(Scope::EndToEnd, Scope::of);
        if let Some(id) = id {
            self.note(id);
        }
        self.fields.push(Header { name, value, id, scope });
    }

    #[inline]
    fn note(&mut self, id: KnownHeader) {
        self.repeated |= self.present & bit(id);
        if self.present & bit(id) == 0
            && let Some(first) = self.first.get_mut(id as usize)
        {
            *first = u16::try_from(self.fields.len()).unwrap_or(u16::MAX);
        }
        self.present |= bit(id);
    }

    /// Gives the first field of this name, if there is one, another value.
    pub(crate) fn set_value(&mut self, id: KnownHeader, value: Span) {
        if !self.contains(id) {
            return;
        }
        let index = self.first.get(id as usize).copied().map(usize::from);
        if let Some(field) = index.and_then(|index| self.fields.get_mut(index)) {
            field.value = value;
        }
    }

    /// The value of the field at `index`, if that is a Connection field.
    pub(crate) fn connection_value<'b>(&self, index: usize, buf: &'b [u8]) -> Option<&'b [u8]> {
        let field = self.fields.get(index)?;
        (field.id == Some(KnownHeader::Connection)).then(|| field.value.of(buf))
    }

    /// Marks the fields of this name as hop-by-hop, and forgets where a known one is: what does not reach the next hop
    /// is nothing to decide by either.
    ///
    /// Left alone are fields that frame and describe the message, and those that proxies set and trust: following an
    /// attacker there would strip what the next hop relies on (CVE-2026-105299).
    pub(crate) fn nominate(&mut self, name: &[u8], buf: &[u8]) {
        let id = KnownHeader::from_name(name);
        if id.is_some_and(KnownHeader::outlives_nomination) {
            return;
        }
        for field in &mut self.fields {
            let same = match id {
                Some(_) => field.id == id,
                None => field.id.is_none() && field.name.of(buf).eq_ignore_ascii_case(name),
            };
            if same {
                field.scope = Scope::HopByHop;
            }
        }
        if let Some(id) = id {
            self.present &= !bit(id);
            self.repeated &= !bit(id);
        }
    }
}

impl Scope {
    #[inline]
    pub(crate) const fn of(id: KnownHeader) -> Self {
        match id {
            KnownHeader::Host | KnownHeader::ContentLength => Self::Rewrite,
            _ if id.is_hop_by_hop() => Self::HopByHop,
            _ => Self::EndToEnd,
        }
    }
}

#[inline]
const fn bit(id: KnownHeader) -> u128 {
    1 << id as u8
}
