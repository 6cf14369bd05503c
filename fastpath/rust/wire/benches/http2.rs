//! Nanoseconds for an exchange between a client and a server in one thread, which is what a proxy does for one. `cargo bench -p meshloom-wire
//! --bench http2`; no framework, medians of rounds.

use std::hint::black_box;
use std::time::Instant;

use meshloom_wire::http2::{Config, Connection, Event, Head, Role};

const ROUNDS: usize = 31;
const PER_ROUND: u32 = 10_000;

type Pair = (&'static [u8], &'static [u8]);

const SMALL: [Pair; 4] = [
    (b":method", b"GET"),
    (b":scheme", b"http"),
    (b":authority", b"shop.default:8080"),
    (b":path", b"/plaintext"),
];

const BROWSER: [Pair; 13] = [
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":authority", b"storefront.shop.svc.cluster.local"),
    (b":path", b"/catalogue/items?page=2&size=20"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    (b"accept-language", b"en-US,en;q=0.5"),
    (b"accept-encoding", b"gzip, deflate, br"),
    (b"cookie", b"session=0123456789abcdef0123456789abcdef; theme=dark"),
    (b"x-request-id", b"6f1c1a52-5d5f-4b8e-9a0e-7f2f0e3f8f11"),
    (b"x-forwarded-for", b"203.0.113.7"),
    (b"x-forwarded-proto", b"https"),
    (b"te", b"trailers"),
];

const RESPONSE: [Pair; 7] = [
    (b":status", b"200"),
    (b"date", b"Mon, 27 Jul 2026 12:28:53 GMT"),
    (b"server", b"meshloom"),
    (b"content-type", b"application/json; charset=utf-8"),
    (b"content-length", b"1024"),
    (b"cache-control", b"no-cache"),
    (b"x-envoy-upstream-service-time", b"3"),
];

fn main() {
    println!("{:<44}{:>10}{:>10}{:>10}", "exchange (ns)", "median", "lowest", "highest");
    for (name, request) in [("request of 4 fields", &SMALL[..]), ("request of 13 fields", &BROWSER)] {
        let mut peers = Peers::new();
        report(&format!("{name}, and a bare response"), || {
            peers.request(request);
            peers.response(&RESPONSE[..1], b"");
        });
        let mut peers = Peers::new();
        report(&format!("{name}, and a response of 7 with 1 KiB"), || {
            peers.request(request);
            peers.response(&RESPONSE, &[b'x'; 1024]);
        });
    }
}

/// A client and a server in one thread.
struct Peers {
    client: Connection,
    server: Connection,
    head: Head,
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    stream: u32,
}

impl Peers {
    fn new() -> Self {
        let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
        let client = Connection::new(Role::Client, Config::default(), &mut to_server);
        let server = Connection::new(Role::Server, Config::default(), &mut to_client);
        let mut peers = Self { client, server, head: Head::new(), to_server, to_client, stream: 0 };
        while !peers.to_server.is_empty() || !peers.to_client.is_empty() {
            peers.serve();
            peers.read();
        }
        peers
    }

    fn request(&mut self, fields: &[Pair]) {
        let Some(stream) = self.client.open() else { return };
        self.stream = stream;
        self.client.send_head(stream, fields.iter().copied(), true, &mut self.to_server);
        self.serve();
    }

    fn response(&mut self, fields: &[Pair], body: &[u8]) {
        self.server.send_head(self.stream, fields.iter().copied(), false, &mut self.to_client);
        self.server.send_data(self.stream, body, true, &mut self.to_client);
        self.read();
    }

    fn serve(&mut self) {
        drain(&mut self.server, &mut self.head, &mut self.to_server, &mut self.to_client);
    }

    fn read(&mut self) {
        drain(&mut self.client, &mut self.head, &mut self.to_client, &mut self.to_server);
    }
}

fn drain(connection: &mut Connection, head: &mut Head, input: &mut Vec<u8>, out: &mut Vec<u8>) {
    connection.note_time(0);
    let mut at = 0;
    loop {
        match connection.next(input, &mut at, head, out) {
            Ok(Event::NeedMore) => break,
            Ok(Event::Data { stream, range, .. }) => connection.consumed(stream, range.len(), out),
            Ok(event) => {
                black_box(event);
            }
            Err(error) => {
                println!("{error}");
                break;
            }
        }
    }
    connection.note_unsent(0);
    input.clear();
}

fn report(name: &str, mut exchange: impl FnMut()) {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            (0..PER_ROUND).for_each(|_| exchange());
            start.elapsed().as_nanos() as f64 / f64::from(PER_ROUND)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    let at = |index: usize| rounds.get(index).copied().unwrap_or_default();
    println!("{name:<44}{:>10.0}{:>10.0}{:>10.0}", at(ROUNDS / 2), at(0), at(ROUNDS - 1));
}
