//! A table of slots that are reused, each tenant told apart by a generation.

use super::token::{GENERATION_MASK, Kind, Token};
use super::wheel::TimerKey;
use super::{Millis, Wheel};

struct Slot<T> {
    generation: u32,
    /// The earliest wheel entry pending for this slot. It outlives the tenant: see [`Slab::arm`].
    armed: Millis,
    tenant: Option<T>,
}

/// Slots of one kind. `T` should be small or boxed: tenants are moved out while they are worked on.
pub(crate) struct Slab<T> {
    kind: Kind,
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    live: usize,
}

impl<T> Slab<T> {
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind, slots: Vec::new(), free: Vec::new(), live: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// Puts a tenant into a free slot. `None` when the table has 2^32 tenants.
    pub(crate) fn insert(&mut self, tenant: T) -> Option<Token> {
        let token = self.reserve()?;
        self.put_back(token, tenant);
        Some(token)
    }

    /// Begins a tenancy whose tenant counts as lent out.
    pub(crate) fn reserve(&mut self) -> Option<Token> {
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                let index = u32::try_from(self.slots.len()).ok()?;
                self.slots.push(Slot { generation: 0, armed: Millis::NEVER, tenant: None });
                index
            }
        };
        let slot = self.slots.get(index as usize)?;
        self.live += 1;
        Some(Token::new(self.kind, index, slot.generation))
    }

    fn slot(&mut self, token: Token) -> Option<&mut Slot<T>> {
        self.slots.get_mut(token.index as usize).filter(|slot| slot.generation == token.generation)
    }

    pub(crate) fn get(&self, token: Token) -> Option<&T> {
        let slot = self.slots.get(token.index as usize)?;
        if slot.generation == token.generation { slot.tenant.as_ref() } else { None }
    }

    pub(crate) fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        self.slot(token)?.tenant.as_mut()
    }

    /// Is there a tenant, lent out at the moment?
    pub(crate) fn is_lent(&self, token: Token) -> bool {
        let slot = self.slots.get(token.index as usize);
        slot.is_some_and(|slot| slot.generation == token.generation && slot.tenant.is_none())
    }

    /// Lends the tenant out; the slot stays its own until `put_back` or `remove`.
    pub(crate) fn take(&mut self, token: Token) -> Option<T> {
        self.slot(token)?.tenant.take()
    }

    pub(crate) fn put_back(&mut self, token: Token, tenant: T) {
        if let Some(slot) = self.slot(token) {
            slot.tenant = Some(tenant);
        }
    }

    /// Ends the tenancy, whether the tenant is at home or lent out.
    pub(crate) fn remove(&mut self, token: Token) -> Option<T> {
        let slot = self.slot(token)?;
        slot.generation = (slot.generation + 1) & GENERATION_MASK;
        let tenant = slot.tenant.take();
        self.free.push(token.index);
        self.live = self.live.saturating_sub(1);
        tenant
    }

    /// Tokens of every tenant at home.
    pub(crate) fn tokens(&self) -> Vec<Token> {
        let mut tokens = Vec::with_capacity(self.live);
        for (index, slot) in (0u32..).zip(&self.slots) {
            if slot.tenant.is_some() {
                tokens.push(Token::new(self.kind, index, slot.generation));
            }
        }
        tokens
    }

    /// Makes sure that the wheel wakes this slot at `at` or before.
    ///
    /// Timers are lazy: a wheel entry is never cancelled and belongs to the slot, not to the tenant. When it fires,
    /// the tenant is asked for its next deadline and armed again. So a deadline that only moves away (an idle
    /// timeout on a busy connection) costs one comparison, not a wheel operation.
    pub(crate) fn arm(&mut self, token: Token, at: Millis, wheel: &mut Wheel) {
        let kind = self.kind;
        if let Some(slot) = self.slot(token) {
            if at < slot.armed {
                slot.armed = at;
                wheel.insert(TimerKey { kind, index: token.index }, at);
            }
        }
    }

    /// Takes note that the entry due at `at` fired, and names the tenant to ask. Entries that a nearer one has
    /// overtaken are nobody's.
    pub(crate) fn fired(&mut self, key: TimerKey, at: Millis) -> Option<Token> {
        let kind = self.kind;
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.armed != at {
            return None;
        }
        slot.armed = Millis::NEVER;
        slot.tenant.as_ref()?;
        Some(Token::new(kind, key.index, slot.generation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_token_finds_nobody() {
        let mut slab = Slab::new(Kind::Upstream);
        let first = slab.insert("first").expect("room");
        assert_eq!(slab.remove(first), Some("first"));
        let second = slab.insert("second").expect("room");
        assert_eq!(first.index, second.index);
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.get(second), Some(&"second"));
    }

    #[test]
    fn a_tenant_removed_while_lent_out_is_not_put_back() {
        let mut slab = Slab::new(Kind::Upstream);
        let token = slab.insert(1).expect("room");
        let lent = slab.take(token).expect("at home");
        slab.remove(token);
        slab.put_back(token, lent);
        assert_eq!(slab.get(token), None);
        assert_eq!(slab.len(), 0);
    }

    #[test]
    fn a_later_deadline_costs_no_wheel_entry() {
        let mut slab = Slab::new(Kind::Upstream);
        let mut wheel = Wheel::new(Millis(0));
        let token = slab.insert(1).expect("room");
        slab.arm(token, Millis(50), &mut wheel);
        slab.arm(token, Millis(90), &mut wheel);
        assert_eq!(wheel.len(), 1);
        slab.arm(token, Millis(20), &mut wheel);
        assert_eq!(wheel.len(), 2);
        let key = TimerKey { kind: Kind::Upstream, index: token.index };
        assert_eq!(slab.fired(key, Millis(20)), Some(token));
        assert_eq!(slab.fired(key, Millis(50)), None);
    }
}
