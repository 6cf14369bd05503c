//! Names and indices: newtypes, so that one kind of name cannot be used as another.
//!
//! A name is interned once and then known by an index that never changes and is never used again for another name.
//! A compiled route holds a [`ClusterIndex`], so a request finds its cluster by array index, and replacing a cluster
//! does not touch the routes that lead to it.

use std::fmt;
use std::sync::Arc;

/// What is wrong with a resource's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Every resource must have a name.
    #[error("the name is empty")]
    Empty,
    /// Names end up in statistics and logs, so their length is limited.
    #[error("the name has {0} bytes, at most {MAX_NAME_LEN} are allowed")]
    TooLong(usize),
}

/// Longest name of any resource, in bytes.
pub const MAX_NAME_LEN: usize = 1024;

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<&str> for $name {
            type Error = InvalidName;

            fn try_from(raw: &str) -> Result<Self, InvalidName> {
                match raw.len() {
                    0 => Err(InvalidName::Empty),
                    len if len > MAX_NAME_LEN => Err(InvalidName::TooLong(len)),
                    _ => Ok(Self(raw.into())),
                }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )*};
}

names! {
    /// Name of a listener.
    ListenerName;
    /// Name of a cluster.
    ClusterName;
    /// Name of a route table, as RDS knows it.
    RouteTableName;
    /// Name of a secret, as SDS knows it.
    SecretName;
    /// Name of an endpoint assignment, as EDS knows it (`dns|<cluster>` for addresses found by DNS).
    AssignmentName;
}

/// An index into one of the tables of a [`Snapshot`](crate::Snapshot).
pub trait Index: Copy + Eq {
    /// Makes the index that stands for this position.
    fn at(position: u32) -> Self;
    /// The position it stands for.
    fn position(self) -> usize;
}

macro_rules! indices {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(u32);

        impl Index for $name {
            fn at(position: u32) -> Self {
                Self(position)
            }

            fn position(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}

indices! {
    /// Stands for a cluster's name, whether or not the cluster exists yet.
    ClusterIndex;
    /// Stands for a route table's name.
    RouteTableIndex;
    /// Stands for a secret's name.
    SecretIndex;
    /// Stands for an endpoint assignment's name.
    AssignmentIndex;
}
