//! What a request is hashed by, for clusters that hash consistently.

use std::sync::Arc;
use std::time::Duration;

use crate::matcher::HeaderName;
use crate::regex::RegexReplace;

/// One of the things that a request is hashed by.
#[derive(Clone, Debug)]
pub struct HashPolicy {
    /// Which.
    pub source: HashSource,
    /// What comes after it in the list counts only while there is no hash.
    pub terminal: bool,
}

/// What is hashed.
#[derive(Clone, Debug)]
pub enum HashSource {
    /// The lines of a header, put through a regular expression.
    Header { name: HeaderName, rewrite: Option<RegexReplace> },
    /// A cookie.
    Cookie(HashCookie),
    /// The address of the client.
    SourceIp,
    /// A parameter of the query.
    Query(Arc<str>),
}

/// A cookie that keeps a client with its endpoint.
#[derive(Clone, Debug)]
pub struct HashCookie {
    /// Its name.
    pub name: Arc<str>,
    /// Clients without it get one that lives so long; zero is until the browser ends. `None`: they get none.
    pub ttl: Option<Duration>,
    /// Where it is sent to; may be empty.
    pub path: Arc<str>,
    /// What else `set-cookie` says, with the `; ` before each.
    pub attributes: Arc<str>,
}
