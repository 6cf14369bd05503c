//! What compiling a resource needs beside the resource: names become indices, patterns become expressions.

use std::collections::BTreeSet;

use super::path::{At, Invalid};
use crate::ids::{AssignmentIndex, ClusterIndex, RouteTableIndex, SecretIndex};
use crate::regex::{FullRegex, RegexCache, RegexReplace};
use crate::snapshot::Snapshot;

/// The snapshot that is being made, and what its resources refer to.
#[derive(Debug, Default)]
pub(super) struct Context {
    pub(super) snapshot: Snapshot,
    regexes: RegexCache,
    /// Names that were referred to since this was last cleared.
    pub(super) references: References,
}

/// Names that resources refer to.
#[derive(Debug, Default)]
pub(super) struct References {
    pub(super) clusters: BTreeSet<String>,
    pub(super) routes: BTreeSet<String>,
    pub(super) secrets: BTreeSet<String>,
    pub(super) assignments: BTreeSet<String>,
}

impl Context {
    pub(super) fn cluster(&mut self, name: &str, at: &At<'_>) -> Result<ClusterIndex, Invalid> {
        check(name, at)?;
        self.references.clusters.insert(name.to_owned());
        Ok(self.snapshot.clusters.intern(name))
    }

    pub(super) fn route_table(&mut self, name: &str, at: &At<'_>) -> Result<RouteTableIndex, Invalid> {
        check(name, at)?;
        self.references.routes.insert(name.to_owned());
        Ok(self.snapshot.routes.intern(name))
    }

    pub(super) fn secret(&mut self, name: &str, at: &At<'_>) -> Result<SecretIndex, Invalid> {
        check(name, at)?;
        self.references.secrets.insert(name.to_owned());
        Ok(self.snapshot.secrets.intern(name))
    }

    pub(super) fn assignment(&mut self, name: &str, at: &At<'_>) -> Result<AssignmentIndex, Invalid> {
        check(name, at)?;
        self.references.assignments.insert(name.to_owned());
        Ok(self.snapshot.assignments.intern(name))
    }

    pub(super) fn regex(&mut self, pattern: &str, at: &At<'_>) -> Result<FullRegex, Invalid> {
        self.regexes.full(pattern).map_err(|error| at.refuse(error))
    }

    pub(super) fn replace(
        &self,
        pattern: &str,
        substitution: &str,
        at: &At<'_>,
    ) -> Result<RegexReplace, Invalid> {
        RegexReplace::parse(pattern, substitution).map_err(|error| at.refuse(error))
    }
}

fn check(name: &str, at: &At<'_>) -> Result<(), Invalid> {
    crate::ids::ClusterName::try_from(name).map(drop).map_err(|error| at.refuse(error))
}
