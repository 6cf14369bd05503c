//! Ranges of IP addresses.

use std::net::IpAddr;

/// All addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IpPrefix {
    address: IpAddr,
    len: u8,
}

impl IpPrefix {
    /// The addresses that share the first `len` bits with `address`; `None` when there are not so many bits.
    pub fn new(address: IpAddr, len: u8) -> Option<Self> {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        (len <= bits).then(|| Self { address: masked(address, len), len })
    }

    /// Is the address one of them?
    pub fn contains(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4() && masked(address, self.len) == self.address
    }

    /// How many bits are given.
    pub fn len(&self) -> u8 {
        self.len
    }

    /// Is no bit given, so that every address of the family is meant?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

fn masked(address: IpAddr, len: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() & top_bits(len.into(), 32) as u32).into()),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & top_bits(len.into(), 128)).into()),
    }
}

/// The first `len` of `width` bits set.
fn top_bits(len: u32, width: u32) -> u128 {
    let all = u128::MAX.checked_shr(128 - width).unwrap_or(0);
    all & all.checked_shl(width - len.min(width)).unwrap_or(0)
}
