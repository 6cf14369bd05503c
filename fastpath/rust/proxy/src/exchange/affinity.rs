//! What a request is hashed by, so that equal ones go to the same endpoint.

use std::borrow::Cow;
use std::io::Write;

use meshloom_balance::{xx64, xx64_seeded};
use meshloom_model::matcher::{HeaderName, RequestHead};
use meshloom_model::route::{HashCookie, HashPolicy, HashSource};

use super::Exchange;

/// The hash of a request, once it was asked for.
#[derive(Debug, Default)]
pub(crate) struct Affinity {
    settled: bool,
    hash: Option<u64>,
    /// Cookies for a client that had none.
    cookies: Vec<Vec<u8>>,
}

impl Exchange {
    /// What a consistent hash goes by; `None` leaves it to chance. The same in all attempts.
    pub(crate) fn hash(&mut self) -> Option<u64> {
        if !self.affinity.settled {
            let route = self.route.clone();
            let forward = route.as_deref().and_then(|route| match &route.action {
                meshloom_model::route::RouteAction::Forward(forward) => Some(forward),
                _ => None,
            });
            self.affinity.hash = forward.and_then(|forward| self.hash_by(&forward.hash_policies));
            self.affinity.settled = true;
        }
        self.affinity.hash
    }

    fn hash_by(&mut self, policies: &[HashPolicy]) -> Option<u64> {
        let mut hash: Option<u64> = None;
        for policy in policies {
            if let Some(found) = self.hash_of(&policy.source) {
                // Rotated, so that equal parts do not cancel each other.
                hash = Some(hash.map_or(0, |hash| hash.rotate_left(1)) ^ found);
            }
            if policy.terminal && hash.is_some() {
                break;
            }
        }
        hash
    }

    fn hash_of(&mut self, source: &HashSource) -> Option<u64> {
        match source {
            HashSource::Header { name, rewrite } => {
                let mut lines = self.lines(name);
                if let Some(rewrite) = rewrite {
                    lines.iter_mut().for_each(|line| *line = Cow::Owned(rewrite.replace_all(line)));
                }
                // In whatever order they came.
                lines.sort_unstable();
                let first = lines.split_first()?;
                Some(first.1.iter().fold(xx64(first.0), |seed, line| xx64_seeded(line, seed)))
            }
            HashSource::Cookie(cookie) => self.hash_cookie(cookie),
            HashSource::SourceIp => Some(xx64(self.client.address.ip().to_string().as_bytes())),
            HashSource::Query(name) => parameter(self.request.target(), name.as_bytes()).map(xx64),
        }
    }

    fn lines(&self, name: &HeaderName) -> Vec<Cow<'_, [u8]>> {
        if name.as_str().starts_with(':') || name.as_str() == "host" {
            return self.request.header(name.as_str()).into_iter().collect();
        }
        self.request.fields.values(name.as_str()).map(Cow::Borrowed).collect()
    }

    /// A client without the cookie gets one, where it is to live for a while.
    fn hash_cookie(&mut self, cookie: &HashCookie) -> Option<u64> {
        let found =
            self.request.fields.values("cookie").find_map(|line| cookie_in(line, cookie.name.as_bytes()));
        if let Some(value) = found.filter(|value| !value.is_empty()) {
            return Some(xx64(value));
        }
        let ttl = cookie.ttl?;
        // The same for all requests of a connection: they may be under way together.
        let value = format!("{:016x}", xx64(format!("{}{}", self.info.remote, self.info.local).as_bytes()));
        let mut line = format!("{}=\"{value}\"", cookie.name).into_bytes();
        // Writing to memory does not fail.
        if !ttl.is_zero() {
            let _ = write!(line, "; Max-Age={}", ttl.as_secs());
        }
        if !cookie.path.is_empty() {
            let _ = write!(line, "; Path={}", cookie.path);
        }
        let _ = write!(line, "{}; HttpOnly", cookie.attributes);
        self.affinity.cookies.push(line);
        Some(xx64(value.as_bytes()))
    }

    /// Gives the client the cookies that the choice of its endpoint made.
    pub(crate) fn give_cookies(&mut self) {
        for line in std::mem::take(&mut self.affinity.cookies) {
            self.response.fields.add_name("set-cookie", &line);
        }
    }
}

/// The value of a cookie, without its quotes.
fn cookie_in<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    line.split(|byte| *byte == b';').find_map(|crumb| {
        let value = crumb.trim_ascii().strip_prefix(name)?.strip_prefix(b"=")?;
        Some(value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value))
    })
}

/// The value of the first parameter of this name.
fn parameter<'t>(target: &'t [u8], name: &[u8]) -> Option<&'t [u8]> {
    let start = target.iter().position(|byte| *byte == b'?')? + 1;
    let query = target.get(start..)?.split(|byte| *byte == b'#').next()?;
    query.split(|byte| *byte == b'&').find_map(|pair| match pair.strip_prefix(name)? {
        value @ [] => Some(value),
        [b'=', value @ ..] => Some(value),
        _ => None,
    })
}
