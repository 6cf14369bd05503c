//! Reads an update from standard input, applies it and prints what came of it: for finding out by hand why a resource
//! is refused. The format is that of `Compiler::apply`.

use std::io::{self, Read};
use std::process::ExitCode;

use meshloom_model::Compiler;

fn main() -> io::Result<ExitCode> {
    let mut update = Vec::new();
    io::stdin().read_to_end(&mut update)?;
    let outcome = Compiler::new().apply(&update);
    for rejected in &outcome.rejected {
        eprintln!("{rejected}");
    }
    let snapshot = &outcome.snapshot;
    println!("listeners: {:#?}", snapshot.listeners);
    for (_, name, table) in snapshot.routes.iter() {
        println!("route table {name}: {} virtual hosts", table.virtual_hosts().len());
    }
    for (_, name, cluster) in snapshot.clusters.iter() {
        println!("cluster {name}: {:?}", cluster.endpoints);
    }
    println!(
        "{} assignments, {} secrets",
        snapshot.assignments.iter().count(),
        snapshot.secrets.iter().count()
    );
    Ok(if outcome.rejected.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
