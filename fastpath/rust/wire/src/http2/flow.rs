//! Flow control windows (RFC 9113 5.2, 6.9).

use super::settings::MAX_WINDOW;

/// What the peer may still send.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReceiveWindow {
    left: i64,
    /// Passed on, and not yet told to the peer.
    returned: u32,
    size: u32,
}

impl ReceiveWindow {
    pub(super) fn new(size: u32) -> Self {
        Self { left: i64::from(size), returned: 0, size }
    }

    /// Bytes that the peer may send, as far as we have told it.
    pub(super) fn left(&self) -> u64 {
        u64::try_from(self.left).unwrap_or(0)
    }

    /// Notes `bytes` received; false if the window has no room for them.
    #[must_use]
    #[inline]
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        if bytes > self.left {
            return false;
        }
        self.left -= bytes;
        true
    }

    /// Gives `bytes` back. When there is enough to tell, it is the increment for a WINDOW_UPDATE: half of the window,
    /// so that the peer neither waits nor hears of each frame.
    #[must_use]
    #[inline]
    pub(super) fn give_back(&mut self, bytes: usize) -> Option<u32> {
        let missing = u32::try_from(i64::from(self.size) - self.left).unwrap_or(0);
        let returned = self.returned.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        self.returned = returned.min(missing);
        if self.returned == 0 || self.returned < self.size / 2 {
            return None;
        }
        let increment = std::mem::take(&mut self.returned);
        self.left += i64::from(increment);
        Some(increment)
    }

    /// The window's size has become another one.
    pub(super) fn resize(&mut self, size: u32) {
        self.left += i64::from(size) - i64::from(self.size);
        self.size = size;
    }
}

/// What we may still send. It may be below zero, after the peer has lowered its initial size.
#[derive(Clone, Copy, Debug)]
pub(super) struct SendWindow {
    left: i64,
    /// Something wanted to be sent and did not fit.
    pub(super) is_blocked: bool,
}

impl SendWindow {
    pub(super) fn new(size: u32) -> Self {
        Self { left: i64::from(size), is_blocked: false }
    }

    #[inline]
    pub(super) fn available(&self) -> usize {
        usize::try_from(self.left).unwrap_or(0)
    }

    #[inline]
    pub(super) fn take(&mut self, bytes: usize) {
        self.left -= i64::try_from(bytes).unwrap_or(i64::MAX);
    }

    /// Changes the window; false if it would be larger than a window can be.
    #[must_use]
    pub(super) fn change(&mut self, by: i64) -> bool {
        self.left += by;
        self.left <= i64::from(MAX_WINDOW)
    }

    /// Whether something waited for this window, and it is open now; asking ends the waiting.
    #[must_use]
    pub(super) fn unblocks(&mut self) -> bool {
        self.left > 0 && std::mem::take(&mut self.is_blocked)
    }
}

#[cfg(test)]
mod tests {
    use super::{ReceiveWindow, SendWindow};

    #[test]
    fn the_peer_hears_of_half_a_window_at_a_time() {
        let mut window = ReceiveWindow::new(100);
        assert!(window.take(100));
        assert!(!window.take(1));
        assert_eq!(window.give_back(49), None);
        assert_eq!(window.give_back(1), Some(50));
        assert!(window.take(50) && !window.take(1));
        // More than was taken is not given.
        assert_eq!(window.give_back(1000), Some(100));
        assert_eq!(window.give_back(1000), None);
    }

    #[test]
    fn a_window_may_be_lowered_below_zero() {
        let mut window = SendWindow::new(10);
        window.take(10);
        window.is_blocked = true;
        assert!(window.change(-5) && !window.unblocks());
        assert_eq!(window.available(), 0);
        assert!(window.change(6) && window.unblocks() && !window.unblocks());
        assert!(!window.change(i64::from(u32::MAX)));
    }
}
