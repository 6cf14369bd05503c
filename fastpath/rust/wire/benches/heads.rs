//! Nanoseconds to parse a head, beside httparse. `cargo bench -p meshloom-wire`; no framework, medians of rounds.
//!
//! httparse only splits a head into lines; this codec also interns names, checks Host and the framing, and decides
//! what the body is. So the comparison flatters httparse.

use std::hint::black_box;
use std::time::Instant;

use meshloom_wire::http1::{Headers, Limits, Method, RequestParser, ResponseParser};

const ROUNDS: usize = 31;
const HEADS_PER_ROUND: u32 = 20_000;

const SMALL: &[u8] = b"GET /plaintext HTTP/1.1\r\nHost: shop.default:8080\r\n\r\n";

const BROWSER: &[u8] = b"GET /catalogue/items?page=2&size=20 HTTP/1.1\r\n\
Host: storefront.shop.svc.cluster.local\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
Accept-Language: en-US,en;q=0.5\r\n\
Accept-Encoding: gzip, deflate, br\r\n\
Connection: keep-alive\r\n\
Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\
X-Request-Id: 6f1c1a52-5d5f-4b8e-9a0e-7f2f0e3f8f11\r\n\
X-Forwarded-For: 203.0.113.7\r\n\
X-Forwarded-Proto: https\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
Date: Mon, 27 Jul 2026 12:28:53 GMT\r\n\
Server: gunicorn\r\n\
Content-Type: application/json; charset=utf-8\r\n\
Content-Length: 1024\r\n\
Cache-Control: no-cache\r\n\
Vary: Accept-Encoding\r\n\r\n";

fn main() {
    println!("{:<28}{:>10}{:>10}{:>10}", "head (ns)", "median", "lowest", "highest");
    let limits = Limits::default();
    for (name, head) in [("request, 1 field", SMALL), ("request, 10 fields", BROWSER)] {
        let mut headers = Headers::new();
        let mut parser = RequestParser::new();
        report(name, "wire", || {
            black_box(parser.parse(black_box(head), &mut headers, &limits).is_ok());
        });
        report(name, "httparse", || {
            let mut fields = [httparse::EMPTY_HEADER; 100];
            let mut request = httparse::Request::new(&mut fields);
            black_box(request.parse(black_box(head)).is_ok());
        });
    }
    let mut headers = Headers::new();
    let mut parser = ResponseParser::new();
    report("response, 6 fields", "wire", || {
        black_box(parser.parse(black_box(RESPONSE), Method::Get, &mut headers, &limits).is_ok());
    });
    report("response, 6 fields", "httparse", || {
        let mut fields = [httparse::EMPTY_HEADER; 100];
        let mut response = httparse::Response::new(&mut fields);
        black_box(response.parse(black_box(RESPONSE)).is_ok());
    });
}

fn report(head: &str, codec: &str, mut parse: impl FnMut()) {
    let mut nanos: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..HEADS_PER_ROUND {
                parse();
            }
            start.elapsed().as_nanos() as f64 / f64::from(HEADS_PER_ROUND)
        })
        .collect();
    nanos.sort_by(f64::total_cmp);
    let at = |index: usize| nanos.get(index).copied().unwrap_or_default();
    let label = format!("{head}, {codec}");
    println!("{label:<28}{:>10.0}{:>10.0}{:>10.0}", at(ROUNDS / 2), at(0), at(ROUNDS - 1));
}
