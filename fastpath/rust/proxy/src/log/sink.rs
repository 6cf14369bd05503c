//! One buffer per log file in the worker, one thread that writes them all.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

use crate::reactor::Millis;

/// Handed over once it has grown to this size, or after [`FLUSH_EVERY_MS`].
const FLUSH_SIZE: usize = 64 * 1024;
const FLUSH_EVERY_MS: u64 = 1000;
/// Buffers on their way to the disk. When it cannot keep up, further lines are dropped and counted.
const IN_FLIGHT: usize = 64;

/// Names a log file of this worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SinkId(usize);

enum Job {
    Open { id: usize, path: Box<str> },
    Write { id: usize, lines: Vec<u8> },
    Reopen,
}

struct Sink {
    buffer: Vec<u8>,
    lines: u64,
}

/// The worker's side of all log files.
pub(crate) struct LogSinks {
    jobs: Option<SyncSender<Job>>,
    spare: Option<Receiver<Vec<u8>>>,
    sinks: Vec<Sink>,
    by_path: HashMap<Box<str>, SinkId>,
    flush_at: Millis,
    /// Lines that were lost because the disk could not keep up or the file could not be opened.
    dropped: u64,
    writer: Option<thread::JoinHandle<()>>,
}

impl LogSinks {
    pub(crate) fn new() -> Self {
        Self {
            jobs: None,
            spare: None,
            sinks: Vec::new(),
            by_path: HashMap::new(),
            flush_at: Millis::NEVER,
            dropped: 0,
            writer: None,
        }
    }

    /// The sink of this path. The file is opened, and made, by the writing thread.
    pub(crate) fn open(&mut self, path: &str) -> SinkId {
        if let Some(id) = self.by_path.get(path) {
            return *id;
        }
        let id = SinkId(self.sinks.len());
        self.sinks.push(Sink { buffer: Vec::with_capacity(FLUSH_SIZE + 4096), lines: 0 });
        self.by_path.insert(path.into(), id);
        self.submit(Job::Open { id: id.0, path: path.into() });
        id
    }

    /// Appends one line: `write` writes it with its line end.
    pub(crate) fn append(&mut self, id: SinkId, now: Millis, write: impl FnOnce(&mut Vec<u8>)) {
        let Some(sink) = self.sinks.get_mut(id.0) else { return };
        write(&mut sink.buffer);
        sink.lines += 1;
        if self.flush_at == Millis::NEVER {
            self.flush_at = Millis(now.0 + FLUSH_EVERY_MS);
        }
        if sink.buffer.len() >= FLUSH_SIZE {
            self.hand_over(id.0);
        }
    }

    /// When [`Self::flush`] is due.
    pub(crate) fn flush_at(&self) -> Millis {
        self.flush_at
    }

    /// Hands over whatever has been written.
    pub(crate) fn flush(&mut self) {
        self.flush_at = Millis::NEVER;
        for id in 0..self.sinks.len() {
            self.hand_over(id);
        }
    }

    /// Opens all files anew, for log rotation.
    pub(crate) fn reopen(&mut self) {
        self.flush();
        self.submit(Job::Reopen);
    }

    pub(crate) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    fn hand_over(&mut self, id: usize) {
        let spare = self.spare.as_ref().and_then(|spare| spare.try_recv().ok());
        let Some(sink) = self.sinks.get_mut(id) else { return };
        if sink.buffer.is_empty() {
            return;
        }
        let next = spare.unwrap_or_else(|| Vec::with_capacity(FLUSH_SIZE + 4096));
        let full = std::mem::replace(&mut sink.buffer, next);
        let lines = std::mem::take(&mut sink.lines);
        if !self.submit(Job::Write { id, lines: full }) {
            self.dropped += lines;
        }
    }

    fn submit(&mut self, job: Job) -> bool {
        if self.jobs.is_none() {
            let (jobs, queue) = sync_channel(IN_FLIGHT);
            let (give_back, spare) = sync_channel(4);
            let spawned =
                thread::Builder::new().name("access-log".into()).spawn(move || write_all(&queue, &give_back));
            self.writer = spawned.ok();
            self.jobs = Some(jobs);
            self.spare = Some(spare);
        }
        match self.jobs.as_ref().map(|jobs| jobs.try_send(job)) {
            Some(Ok(())) => true,
            Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) | None => false,
        }
    }
}

impl Drop for LogSinks {
    /// The last lines are written before the worker ends.
    fn drop(&mut self) {
        self.flush();
        self.jobs = None;
        if let Some(writer) = self.writer.take() {
            // A panic in the writer has been reported by its thread; the worker ends anyway.
            let _ = writer.join();
        }
    }
}

struct Target {
    path: Box<str>,
    file: Option<File>,
}

fn write_all(queue: &Receiver<Job>, give_back: &SyncSender<Vec<u8>>) {
    let mut targets: HashMap<usize, Target> = HashMap::new();
    while let Ok(job) = queue.recv() {
        match job {
            Job::Open { id, path } => {
                let file = open_append(&path);
                targets.insert(id, Target { path, file });
            }
            Job::Reopen => {
                for target in targets.values_mut() {
                    target.file = open_append(&target.path);
                }
            }
            Job::Write { id, mut lines } => {
                if let Some(target) = targets.get_mut(&id) {
                    write_lines(target, &lines);
                }
                lines.clear();
                // Nobody waits for a spare buffer: a full return queue frees it.
                let _ = give_back.try_send(lines);
            }
        }
    }
}

/// A failed write closes the file, and the next one opens it again: a full disk heals by itself.
fn write_lines(target: &mut Target, lines: &[u8]) {
    if target.file.is_none() {
        target.file = open_append(&target.path);
    }
    let result = target.file.as_mut().map(|file| file.write_all(lines));
    if let Some(Err(error)) = result {
        eprintln!("access_log_write_failed path={} error={error:?}", target.path);
        target.file = None;
    }
}

fn open_append(path: &str) -> Option<File> {
    // Opening /dev/stdout again fails where it is a socket, and would truncate nothing: our own descriptor is meant.
    let opened = match path {
        "/dev/stdout" => rustix::io::dup(rustix::stdio::stdout()).map(File::from).map_err(Into::into),
        "/dev/stderr" => rustix::io::dup(rustix::stdio::stderr()).map(File::from).map_err(Into::into),
        _ => OpenOptions::new().append(true).create(true).open(path),
    };
    match opened {
        Ok(file) => Some(file),
        Err(error) => {
            eprintln!("access_log_open_failed path={path} error={error:?}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_reaches_the_file_in_order() {
        let path = std::env::temp_dir().join(format!("meshloom-sink-{}", std::process::id()));
        let name = path.to_str().expect("utf-8").to_owned();
        let mut sinks = LogSinks::new();
        let id = sinks.open(&name);
        for n in 0..20_000u32 {
            sinks.append(id, Millis(0), |out| out.extend_from_slice(format!("line {n}\n").as_bytes()));
        }
        assert_eq!(sinks.flush_at(), Millis(1000));
        drop(sinks);
        let text = std::fs::read_to_string(&path).expect("written");
        std::fs::remove_file(&path).expect("removed");
        assert!(text.lines().enumerate().all(|(n, line)| line == format!("line {n}")));
        assert_eq!(text.lines().count(), 20_000);
    }
}
