//! The part of WebSocket's handshake that exists in HTTP/1 alone (RFC 6455 4, RFC 8441 5): a key that the client sends,
//! and the server's proof that it has read it. Where only one side speaks HTTP/1, we are that side's peer.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use crate::message::{Protocol, Request, Response};
use crate::util::{Rng, base64};

const KEY: &str = "sec-websocket-key";
const ACCEPT: &str = "sec-websocket-accept";
/// RFC 6455 1.3.
const MAGIC: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Gives a request of HTTP/2 the key that an origin of HTTP/1 asks for.
pub(super) fn add_key(request: &mut Request, rng: &mut Rng) {
    let asks = request.version == Protocol::Http2 && is_websocket(request);
    if asks && request.fields.value(KEY).is_none() {
        let nonce = [rng.next().to_be_bytes(), rng.next().to_be_bytes()].concat();
        request.fields.add_name(KEY, base64(&nonce).as_bytes());
    }
}

/// Finishes the answer that opens a WebSocket: a client of HTTP/1 looks for the proof, one of HTTP/2 for none.
pub(super) fn finish_answer(request: &Request, response: &mut Response) {
    if !is_websocket(request) {
        return;
    }
    if request.version == Protocol::Http2 {
        response.fields.remove_name(ACCEPT);
    } else if response.version == Protocol::Http2 {
        if let Some(key) = request.fields.value(KEY) {
            response.fields.remove_name(ACCEPT);
            response.fields.add_name(ACCEPT, accept(&key).as_bytes());
        }
    }
}

fn is_websocket(request: &Request) -> bool {
    request.upgrade_protocol().is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
}

fn accept(key: &[u8]) -> String {
    base64(digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, MAGIC].concat()).as_ref())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_proof_is_that_of_rfc_6455() {
        assert_eq!(super::accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
