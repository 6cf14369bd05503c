//! Health checks in the loop: sessions come and go with endpoints, connections are made, verdicts are spread.

use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;

use meshloom_balance::{Change, Verdict, upto};
use meshloom_model::header_case::HeaderCase;
use meshloom_model::health::HealthCheck;

use super::check::{Check, End, Link, Stage};
use super::events::Findings;
use super::reply::Answer;
use super::talk::{Asked, Talk};
use super::verdicts::{HealthReport, Known, Verdicts};
use crate::engine::Engine;
use crate::reactor::{Ready, Token};
use crate::tls::Offers;
use crate::transport::{Read, Transport, connect, take_error};
use crate::upstream::{ClusterId, Host, source_for};

/// Reads of one connection in one turn.
const READS: u32 = 4;

impl Engine {
    fn is_checker(&self) -> bool {
        self.slot == 0
    }

    /// Follows the clusters: each endpoint that is to be checked has a session, and nobody else has.
    pub(crate) fn update_checks(&mut self) {
        if !self.is_checker() {
            return;
        }
        let mut wanted: Vec<(Rc<Host>, Arc<HealthCheck>)> = Vec::new();
        for cluster in self.clusters.iter_mut() {
            let Some(spec) = cluster.spec.health.clone() else { continue };
            let checked = cluster.hosts().iter().filter(|host| host.is_checked());
            wanted.extend(checked.map(|host| (Rc::clone(host), Arc::clone(&spec))));
        }
        let mut kept = HashSet::new();
        for (host, spec) in wanted {
            let same =
                |token: &Token| self.checks.get(*token).is_some_and(|check| Arc::ptr_eq(&check.spec, &spec));
            if let Some(token) = host.check.get().filter(same).or_else(|| self.begin_checks(&host, &spec)) {
                kept.insert(token);
            }
        }
        for token in self.checks.tokens() {
            if !kept.contains(&token) {
                self.end_checks(token);
            }
        }
    }

    fn begin_checks(&mut self, host: &Rc<Host>, spec: &Arc<HealthCheck>) -> Option<Token> {
        let first = self.now().after(upto(spec.pauses.initial_jitter, &mut self.rng));
        let token = self.checks.insert(Box::new(Check::new(host, spec, first)))?;
        self.checks.arm(token, first, &mut self.wheel);
        host.check.set(Some(token));
        Some(token)
    }

    fn end_checks(&mut self, token: Token) {
        let Some(check) = self.checks.remove(token) else { return };
        if check.host.check.get() == Some(token) {
            check.host.check.set(None);
            self.tell_verdict(check.host.cluster, &check.host, Known::Gone);
        }
    }

    /// The next check is due, or the present one has taken too long.
    pub(crate) fn check_timer(&mut self, token: Token) {
        let Some(mut check) = self.checks.take(token) else { return };
        if check.deadline <= self.now() {
            match check.stage {
                Stage::Waiting => self.start_check(token, &mut check),
                Stage::Opening | Stage::Asking => self.finish_check(&mut check, End::TimedOut),
            }
        }
        self.settle_check(token, check);
    }

    fn settle_check(&mut self, token: Token, check: Box<Check>) {
        let (at, removed) = (check.deadline, check.host.removed.get());
        self.checks.put_back(token, check);
        if removed {
            return self.end_checks(token);
        }
        self.checks.arm(token, at, &mut self.wheel);
    }

    fn start_check(&mut self, token: Token, check: &mut Check) {
        if let Some(stats) = self.health_stats(check.host.cluster) {
            stats.attempt.inc();
        }
        check.deadline = self.now().after(check.spec.timeout);
        if check.link.is_some() {
            return self.ask(check);
        }
        check.stage = Stage::Opening;
        let to = check.address();
        let cluster = self.clusters.get(check.host.cluster);
        let from = cluster.and_then(|cluster| source_for(&to, &cluster.spec));
        let made = connect(&to, from).ok().map(Transport::new);
        match made {
            Some(io) if self.poller.add(io.fd(), token).is_ok() => {
                check.link = Some(Link { io, talk: Talk::new(&check.spec), connecting: true });
            }
            _ => self.finish_check(check, End::Answer(Answer::Broken)),
        }
    }

    /// Something has happened on a check's connection.
    pub(crate) fn check_event(&mut self, token: Token, ready: Ready) {
        let Some(mut check) = self.checks.take(token) else { return };
        if let Some(link) = &mut check.link {
            link.io.ready(ready);
            self.serve_check(&mut check, ready);
        }
        self.settle_check(token, check);
    }

    fn serve_check(&mut self, check: &mut Check, ready: Ready) {
        if let Some(end) = self.open_link(check, ready) {
            return self.finish_check(check, end);
        }
        let Some(link) = &mut check.link else { return };
        if link.connecting {
            return;
        }
        if link.io.flush().is_err() {
            return self.lose_link(check);
        }
        for _ in 0..READS {
            let Some(mut buffers) = self.buffers.take() else { return };
            let read = check.link.as_mut().map(|link| link.io.read(&mut buffers));
            let data = match &read {
                Some(Read::Data(n)) => buffers.input.get(..*n).unwrap_or_default().to_vec(),
                _ => Vec::new(),
            };
            self.buffers = Some(buffers);
            match read {
                Some(Read::Data(_)) => self.hear(check, &data),
                Some(Read::End | Read::Failed(_)) => return self.lose_link(check),
                Some(Read::Blocked) => break,
                None => return,
            }
        }
        if check.stage == Stage::Opening && check.link.as_ref().is_some_and(|link| !link.io.is_handshaking())
        {
            self.ask(check);
        }
    }

    /// Takes the connection from the socket to TLS. Gives how the check ends, if it does.
    fn open_link(&mut self, check: &mut Check, ready: Ready) -> Option<End> {
        let to = check.address();
        let link = check.link.as_mut()?;
        if !link.connecting || !(ready.writable || ready.error) {
            return None;
        }
        if take_error(link.io.fd()).is_err() {
            return Some(End::Answer(Answer::Broken));
        }
        let header = self.own_proxy_header(&check.host, link.io.fd(), &to);
        if header.is_some_and(|header| link.io.send(&[&header]).is_err()) {
            return Some(End::Answer(Answer::Broken));
        }
        link.connecting = false;
        let tls = check.host.check_tls.borrow().clone()?;
        let session = tls.connect(&check.host, Offers::Always(&check.spec.protocols), None);
        let begun = session.ok().map(|session| link.io.start_client_tls(session));
        match begun {
            Some(Ok(())) => None,
            _ => Some(End::Answer(Answer::Broken)),
        }
    }

    fn ask(&mut self, check: &mut Check) {
        let name = self.cluster_name(check.host.cluster);
        let authority = check.authority(&name);
        let Some(link) = &mut check.link else { return };
        check.stage = Stage::Asking;
        let cluster = self.clusters.get(check.host.cluster);
        let asked = Asked {
            authority: &authority,
            timeout: check.spec.timeout,
            tls: link.io.tls().is_some(),
            case: cluster.map_or_else(HeaderCase::default, |cluster| cluster.spec.http.header_case),
        };
        let mut out = Vec::new();
        let answer = link.talk.ask(&check.spec, &asked, &mut out);
        if !out.is_empty() && link.io.send(&[&out]).is_err() {
            return self.finish_check(check, End::Answer(Answer::Broken));
        }
        if let Some(answer) = answer {
            self.finish_check(check, End::Answer(answer));
        }
    }

    fn hear(&mut self, check: &mut Check, data: &[u8]) {
        let Some(link) = &mut check.link else { return };
        let mut out = Vec::new();
        let answer = link.talk.hear(&check.spec, data, &mut out);
        if !out.is_empty() && link.io.send(&[&out]).is_err() {
            return self.lose_link(check);
        }
        match (answer, check.stage) {
            (Some(answer), Stage::Asking) => self.finish_check(check, End::Answer(answer)),
            // Nobody has asked: such a connection cannot be trusted with the next question.
            (Some(_), _) => check.link = None,
            (None, _) => {}
        }
    }

    /// The endpoint has ended the connection.
    fn lose_link(&mut self, check: &mut Check) {
        let end = check.link.as_mut().map(|link| link.talk.end(&check.spec));
        match check.stage {
            Stage::Waiting => check.link = None,
            Stage::Opening => self.finish_check(check, End::Answer(Answer::Broken)),
            Stage::Asking => self.finish_check(check, End::Answer(end.unwrap_or(Answer::Broken))),
        }
    }

    fn finish_check(&mut self, check: &mut Check, end: End) {
        check.stage = Stage::Waiting;
        let status = check.link.as_ref().filter(|_| !end.is_network());
        let status = status.map_or(0, |link| link.talk.status(&check.spec));
        let reusable = check.spec.reuse_connection
            && !end.is_network()
            && check
                .link
                .as_ref()
                .is_some_and(|link| !link.io.closing() && link.talk.is_reusable(&check.spec));
        if !reusable {
            check.link = None;
        }
        let change = self.note_finding(check, end, status);
        let used = self.clusters.get(check.host.cluster).is_some_and(|cluster| cluster.used);
        let passed = matches!(end.finding(), meshloom_balance::Finding::Passed { .. });
        let pause = check.pauses().after(passed, change, used, &mut self.rng);
        check.deadline = self.now().after(pause);
    }

    /// Counts, tells and logs what was found.
    fn note_finding(&mut self, check: &mut Check, end: End, status: u16) -> Change {
        self.count_check(check, end);
        let (first, before) = (check.record.is_first(), check.record.verdict());
        let change = check.record.note(end.finding(), check.rules());
        let verdict = check.record.verdict();
        let left = verdict == Verdict::Failed && (check.left || end.leaves());
        let leaves = left && !std::mem::replace(&mut check.left, left);
        let known = Known::new(if left { Verdict::Left } else { verdict }, end == End::TimedOut);
        let id = check.host.cluster;
        self.accept_verdict(id, &check.host, known);
        if change == Change::Verdict || leaves || check.host.ejected_elsewhere.take() {
            self.tell_verdict(id, &check.host, known);
        }
        let name = self.cluster_name(id);
        self.log_check(check, &name, &Findings { end, status, change, first, before });
        change
    }

    /// An endpoint has said, in an answer to a request, that it is to be taken out at once.
    pub(crate) fn endpoint_unwell(&mut self, host: &Host) {
        let cluster = self.cluster_name(host.cluster);
        let address = host.place().text.to_string();
        match (host.check.get(), self.is_checker()) {
            (Some(token), true) => self.note_unwell(token),
            (_, true) => {}
            (_, false) => self.reports.push_back(HealthReport::Unwell { cluster, address }),
        }
    }

    /// Another worker was told so.
    pub(crate) fn hear_unwell(&mut self, cluster: &str, address: &str) {
        let host = self.host_of(cluster, address);
        if let Some(token) = host.and_then(|host| host.check.get()) {
            self.note_unwell(token);
        }
    }

    fn note_unwell(&mut self, token: Token) {
        let Some(mut check) = self.checks.take(token) else { return };
        self.note_finding(&mut check, End::Told, 0);
        self.settle_check(token, check);
    }

    fn count_check(&self, check: &Check, end: End) {
        let Some(stats) = self.health_stats(check.host.cluster) else { return };
        match end {
            End::Answer(Answer::Good { .. }) => stats.success.inc(),
            _ => stats.failure.inc(),
        }
        if end.is_network() {
            stats.network_failure.inc();
        }
        if end == End::Told {
            stats.passive_failure.inc();
        }
        let verifies = matches!(&check.spec.probe,
            meshloom_model::health::Probe::Http(probe) if probe.service.is_some());
        if verifies && matches!(end, End::Answer(Answer::Good { .. } | Answer::Stranger)) {
            stats.verify_cluster.inc();
        }
    }

    fn health_stats(&self, id: ClusterId) -> Option<crate::telemetry::HealthStats> {
        self.clusters.get(id)?.health_stats
    }

    fn cluster_name(&self, id: ClusterId) -> String {
        self.clusters.get(id).map(|cluster| cluster.spec.name.as_str().to_owned()).unwrap_or_default()
    }

    /// Puts a verdict into force in this worker.
    fn accept_verdict(&mut self, id: ClusterId, host: &Rc<Host>, known: Known) {
        let Some(verdict) = known.verdict() else { return };
        let (now, is_checker) = (self.clock.instant(), self.is_checker());
        let Some(cluster) = self.clusters.get_mut(id) else { return };
        let failed = |verdict| matches!(verdict, Verdict::Failed | Verdict::Left);
        let failed_now = failed(verdict) && !host.verdict().is_some_and(failed);
        host.known.set(Some(known));
        if host.removed.get() {
            return;
        }
        let left = cluster.take_verdict(host, verdict, now, &mut self.rng);
        let close = failed_now && cluster.spec.health_effects.close_connections;
        if is_checker {
            cluster.count_health();
        }
        if close {
            self.close_hosts(std::slice::from_ref(host));
        }
        self.close_hosts(&left);
        for other in left.iter().filter(|other| !Rc::ptr_eq(other, host)) {
            if let Some(token) = other.check.get() {
                self.end_checks(token);
            }
        }
        if close {
            self.break_connections(host);
        }
    }

    /// Other workers, and whoever comes after us, are to know.
    fn tell_verdict(&mut self, id: ClusterId, host: &Host, known: Known) {
        let cluster = self.cluster_name(id);
        let address = host.place().text.to_string();
        if let Some(HealthReport::Verdicts { cluster: last, verdicts }) = self.reports.back_mut()
            && *last == cluster
            && verdicts.len() < MAX_VERDICTS
        {
            verdicts.insert(address, known);
            return;
        }
        let verdicts = Verdicts::from([(address, known)]);
        self.reports.push_back(HealthReport::Verdicts { cluster, verdicts });
    }

    /// What the checking worker has found.
    pub(crate) fn hear_verdicts(&mut self, cluster: &str, verdicts: &Verdicts) {
        let Some(id) = self.snapshot.clusters.index_of(cluster) else { return };
        let Some(found) = self.clusters.get(id) else { return };
        let hosts: Vec<Rc<Host>> = found.hosts().to_vec();
        for host in hosts.iter().filter(|host| host.is_checked()) {
            if let Some(known) = verdicts.get(&*host.place().text) {
                self.accept_verdict(id, host, *known);
            }
        }
    }

    /// Another worker has sent the first request of a cluster: its checks take their ordinary pace.
    pub(crate) fn hear_used(&mut self, cluster: &str) {
        let id = self.snapshot.clusters.index_of(cluster);
        if let Some(cluster) = id.and_then(|id| self.clusters.get_mut(id)) {
            cluster.used = true;
        }
    }

    /// Another worker has ejected an endpoint: the next check that passes is told to it.
    pub(crate) fn hear_ejected(&mut self, cluster: &str, address: &str) {
        if let Some(host) = self.host_of(cluster, address) {
            host.ejected_elsewhere.set(true);
        }
    }

    fn host_of(&self, cluster: &str, address: &str) -> Option<Rc<Host>> {
        let cluster = self.clusters.get(self.snapshot.clusters.index_of(cluster)?)?;
        cluster.hosts().iter().find(|host| *host.place().text == *address).cloned()
    }
}

/// Verdicts in one message: it must stay far below the limit of a message.
const MAX_VERDICTS: usize = 500;
