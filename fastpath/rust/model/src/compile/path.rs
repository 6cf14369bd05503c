//! Where in a resource we are, and what is wrong there.

use std::fmt;

/// What is wrong with a resource, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Invalid {
    /// The field, in the names of Envoy's API: `virtual_hosts[0].routes[3].match`. Empty for the resource itself.
    pub(super) path: String,
    /// What is wrong, and where it helps, what would be right.
    pub(super) reason: String,
}

/// A place in a resource. Costs nothing until something is wrong there.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    parent: Option<&'a At<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Field(&'static str),
    Item(usize),
    Key(&'a str),
}

impl<'a> At<'a> {
    /// The resource itself.
    pub(super) const ROOT: At<'static> = At { parent: None, step: Step::Root };

    /// A field here.
    pub(super) fn field(&'a self, name: &'static str) -> Self {
        At { parent: Some(self), step: Step::Field(name) }
    }

    /// An item of the list here.
    pub(super) fn item(&'a self, position: usize) -> Self {
        At { parent: Some(self), step: Step::Item(position) }
    }

    /// An entry of the map here.
    pub(super) fn key(&'a self, key: &'a str) -> Self {
        At { parent: Some(self), step: Step::Key(key) }
    }

    /// Says what is wrong here.
    pub(super) fn refuse(&self, reason: impl fmt::Display) -> Invalid {
        let mut path = String::new();
        self.write(&mut path);
        Invalid { path, reason: reason.to_string() }
    }

    /// A value that must be there.
    pub(super) fn required<T>(&self, value: Option<T>) -> Result<T, Invalid> {
        value.ok_or_else(|| self.refuse("this must be given"))
    }

    fn write(&self, out: &mut String) {
        if let Some(parent) = self.parent {
            parent.write(out);
        }
        match self.step {
            Step::Root => {}
            Step::Field(name) if out.is_empty() => out.push_str(name),
            Step::Field(name) => out.extend([".", name]),
            Step::Item(position) => out.push_str(&format!("[{position}]")),
            Step::Key(key) => out.push_str(&format!("[{}]", meshloom_xds::quoted(key))),
        }
    }
}
