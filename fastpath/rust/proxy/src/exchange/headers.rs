//! Header operations of the configuration, on requests and responses.

use meshloom_model::headers::{AppendAction, HeaderLevel, HeaderOps};

use super::Exchange;
use super::values::ExchangeValues;
use crate::engine::Engine;
use crate::message::Fields;

impl Engine {
    pub(crate) fn mutate_request(&mut self, exchange: &mut Exchange, ops: &HeaderOps) {
        for level in &ops.levels {
            for name in &level.remove {
                if !name.is_pseudo() && name.as_str() != "host" {
                    exchange.request.fields.remove_name(name.as_str());
                }
            }
            for (index, value) in self.rendered(exchange, level) {
                let Some(set) = level.set.get(index) else { continue };
                match set.name.as_str() {
                    ":authority" | "host" => exchange.request.set_authority(&value),
                    ":path" => exchange.request.set_target(&value),
                    name if name.starts_with(':') => {}
                    name => apply(&mut exchange.request.fields, name, &value, set.action),
                }
            }
        }
    }

    pub(crate) fn mutate_response(&mut self, exchange: &mut Exchange, ops: &HeaderOps) {
        for level in &ops.levels {
            level.remove.iter().for_each(|name| exchange.response.fields.remove_name(name.as_str()));
            for (index, value) in self.rendered(exchange, level) {
                let Some(set) = level.set.get(index) else { continue };
                if set.name.as_str() == ":status" {
                    if let Some(status) = std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok())
                    {
                        exchange.response.status = status;
                    }
                } else {
                    apply(&mut exchange.response.fields, set.name.as_str(), &value, set.action);
                }
            }
        }
    }

    /// The level's values, all rendered before any is written; those that overwrite first.
    fn rendered(&mut self, exchange: &Exchange, level: &HeaderLevel) -> Vec<(usize, Vec<u8>)> {
        let values = ExchangeValues::new(exchange, &self.clock, &self.local);
        let mut rendered: Vec<(usize, Vec<u8>)> = level
            .set
            .iter()
            .enumerate()
            .map(|(index, set)| {
                let mut value = Vec::new();
                set.value.render(&values, "", &mut value);
                // What a peer put into a value must not become a line of its own.
                value.retain(|byte| !matches!(byte, b'\r' | b'\n' | 0));
                (index, value)
            })
            .filter(|(index, value)| {
                !value.is_empty() || level.set.get(*index).is_some_and(|set| set.keep_empty)
            })
            .collect();
        rendered.sort_by_key(|(index, _)| {
            level
                .set
                .get(*index)
                .is_some_and(|set| matches!(set.action, AppendAction::Append | AppendAction::AddIfAbsent))
        });
        rendered
    }
}

fn apply(fields: &mut Fields, name: &str, value: &[u8], action: AppendAction) {
    let exists = || fields.values(name).next().is_some();
    match action {
        AppendAction::Append => fields.add_name(name, value),
        AppendAction::AddIfAbsent if exists() => {}
        AppendAction::AddIfAbsent => fields.add_name(name, value),
        AppendAction::OverwriteIfExists if !exists() => {}
        AppendAction::Overwrite | AppendAction::OverwriteIfExists => {
            fields.remove_name(name);
            fields.add_name(name, value);
        }
    }
}
