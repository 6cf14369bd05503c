//! What epoll hands back for a descriptor: which table, which slot, and which tenant of that slot.

/// Which table a token points into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Listener,
    Downstream,
    Upstream,
    /// Not a descriptor: a request and its response.
    Exchange,
    Control,
    Signal,
    /// The health checks of one endpoint.
    Check,
}

/// Names one tenant of one slot. A slot's generation grows when its tenant leaves, so an event or a timer that was
/// already under way for the old tenant finds nobody, instead of the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

const GENERATION_BITS: u32 = 24;
pub(super) const GENERATION_MASK: u32 = (1 << GENERATION_BITS) - 1;

impl Token {
    pub(crate) fn new(kind: Kind, index: u32, generation: u32) -> Self {
        Self { kind, index, generation: generation & GENERATION_MASK }
    }

    /// kind (8 bits), generation (24 bits), index (32 bits): what `epoll_data` carries.
    pub(crate) fn pack(self) -> u64 {
        let kind = match self.kind {
            Kind::Listener => 0u64,
            Kind::Downstream => 1,
            Kind::Upstream => 2,
            Kind::Control => 3,
            Kind::Signal => 4,
            Kind::Exchange => 5,
            Kind::Check => 6,
        };
        kind << 56 | u64::from(self.generation) << 32 | u64::from(self.index)
    }

    pub(crate) fn unpack(raw: u64) -> Option<Self> {
        let kind = match raw >> 56 {
            0 => Kind::Listener,
            1 => Kind::Downstream,
            2 => Kind::Upstream,
            3 => Kind::Control,
            4 => Kind::Signal,
            5 => Kind::Exchange,
            6 => Kind::Check,
            _ => return None,
        };
        let generation = u32::try_from((raw >> 32) & u64::from(GENERATION_MASK)).ok()?;
        let index = u32::try_from(raw & u64::from(u32::MAX)).ok()?;
        Some(Self { kind, index, generation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_keeps_every_part() {
        let token = Token::new(Kind::Upstream, 0xfeed_beef, 0x12_3456);
        assert_eq!(Token::unpack(token.pack()), Some(token));
    }

    #[test]
    fn an_unknown_kind_is_nobody() {
        assert_eq!(Token::unpack(9 << 56), None);
    }
}
