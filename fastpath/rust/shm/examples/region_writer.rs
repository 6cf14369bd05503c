//! A worker that only counts: takes a region file over and counts until it is killed. For the tests that read regions
//! from Python and kill their writer at any moment.
//!
//! `region_writer FILE ROUNDS`: each round counts under one of a hundred response codes. With 0 rounds it goes on for
//! ever. Prints what became of the region and, at the end, what it holds.

use std::error::Error;
use std::fs::OpenOptions;

use meshloom_shm::{Bounds, Limits, Region, Telemetry};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("want FILE ROUNDS")?;
    let rounds: u64 = arguments.next().ok_or("want FILE ROUNDS")?.parse()?;
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let len = usize::try_from(file.metadata()?.len())?;
    let (mut telemetry, adoption) = Telemetry::adopt(Region::attach(file.into(), len)?, Limits::default());
    println!("{adoption:?}");
    let mut round = 0;
    while rounds == 0 || round < rounds {
        count(&mut telemetry, round % 100);
        round += 1;
    }
    println!("{} series, {} dropped", telemetry.series(), telemetry.dropped());
    Ok(())
}

fn count(telemetry: &mut Telemetry, round: u64) {
    let code = round.to_string();
    let labels = [("reporter", "source"), ("response_code", code.as_str())];
    telemetry.counter("istio_requests_total", "istio_requests_total", &labels).inc();
    let name = "istio_request_duration_milliseconds";
    telemetry.histogram(Bounds::DurationMs, name, name, &labels).record(round * 1_000);
    telemetry.gauge("server.live", "server.live", &[]).set(1);
    telemetry.beat();
    if round == 0 {
        telemetry.repair();
    }
}
