//! The name that TLS with an upstream takes from a request.

use std::net::IpAddr;
use std::rc::Rc;

use meshloom_model::cluster::ServerNames;
use meshloom_model::matcher::RequestHead;

use super::Exchange;

/// Of the request as the upstream gets it, but for a host that depends on the endpoint. `None`: TLS does as configured.
pub(super) fn server_name(exchange: &Exchange, names: &ServerNames) -> Option<Rc<str>> {
    let given = names.header.as_ref().and_then(|header| exchange.request.header(header.as_str()));
    let given = given.filter(|value| !value.is_empty());
    let text = String::from_utf8_lossy(given.as_deref().unwrap_or(exchange.request.authority()));
    let host = host(&text);
    let is_name = !host.is_empty() && host.parse::<IpAddr>().is_err();
    // Where it is checked, none at all is checked too: no certificate has that.
    (is_name || names.checked).then(|| Rc::from(host.to_ascii_lowercase()))
}

/// The host without its port, an IPv6 address without brackets.
fn host(authority: &str) -> &str {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => host,
        _ => authority,
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    bare.filter(|bare| bare.parse::<IpAddr>().is_ok()).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::host;

    #[test]
    fn ports_and_brackets_are_no_part_of_a_name() {
        for (authority, name) in [
            ("a.example", "a.example"),
            ("a.example:8443", "a.example"),
            ("a.example:", "a.example:"),
            ("a.example:99999", "a.example:99999"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("[::1]", "::1"),
            ("[::1]:443", "::1"),
            ("[a.example]:443", "[a.example]"),
            ("", ""),
        ] {
            assert_eq!(host(authority), name);
        }
    }
}
