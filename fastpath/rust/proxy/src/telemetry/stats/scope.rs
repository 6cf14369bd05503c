//! How a struct of handles is declared and registered.

use meshloom_shm::{Bounds, Counter, Gauge, Histogram, Label, Telemetry};

/// Names the statistics of one scope: `cluster.orders.` with its tag taken out for Prometheus.
pub(super) struct Scope<'t> {
    pub(super) telemetry: &'t mut Telemetry,
    /// `cluster.orders.`
    pub(super) flat: String,
    /// `cluster.`
    pub(super) base: &'static str,
    /// `envoy_cluster_name`, `orders`
    pub(super) tag: (&'static str, &'t str),
}

impl<'t> Scope<'t> {
    /// Statistics of the process as a whole have no tag.
    fn tags(&self) -> impl Iterator<Item = Label<'t>> {
        std::iter::once(self.tag).filter(|(name, value)| !name.is_empty() && !value.is_empty())
    }

    pub(super) fn counter(&mut self, name: &str) -> Counter {
        let (flat, base) = (format!("{}{name}", self.flat), format!("{}{name}", self.base));
        let tags: Vec<_> = self.tags().collect();
        self.telemetry.counter(&flat, &base, &tags)
    }

    pub(super) fn gauge(&mut self, name: &str) -> Gauge {
        let (flat, base) = (format!("{}{name}", self.flat), format!("{}{name}", self.base));
        let tags: Vec<_> = self.tags().collect();
        self.telemetry.gauge(&flat, &base, &tags)
    }

    pub(super) fn histogram(&mut self, name: &str) -> Histogram {
        let (flat, base) = (format!("{}{name}", self.flat), format!("{}{name}", self.base));
        let tags: Vec<_> = self.tags().collect();
        self.telemetry.histogram(Bounds::Envoy, &flat, &base, &tags)
    }

    /// `<name>_2xx` and so on, with the class as a label.
    pub(super) fn classes(&mut self, name: &str) -> [Counter; 5] {
        [1, 2, 3, 4, 5].map(|class: u8| {
            let class = class.to_string();
            let flat = format!("{}{name}_{class}xx", self.flat);
            let base = format!("{}{name}_xx", self.base);
            self.telemetry.counter(&flat, &base, &[self.tag, ("envoy_response_code_class", &class)])
        })
    }
}

macro_rules! stats {
    ($(#[$doc:meta])* $name:ident, $base:literal, $tag:literal;
     counters { $($counter:ident $counter_name:literal)* }
     gauges { $($gauge:ident $gauge_name:literal)* }
     histograms { $($histogram:ident $histogram_name:literal)* }
     classes { $($class:ident $class_name:literal)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct $name {
            $(pub(crate) $counter: Counter,)*
            $(pub(crate) $gauge: Gauge,)*
            $(pub(crate) $histogram: Histogram,)*
            $(pub(crate) $class: [Counter; 5],)*
        }

        impl $name {
            /// Registers, or finds again, the statistics of this name.
            pub(crate) fn register(telemetry: &mut Telemetry, name: &str) -> Self {
                let flat = if name.is_empty() { $base.to_owned() } else { format!("{}{name}.", $base) };
                let mut scope = $crate::telemetry::stats::scope::Scope { telemetry, flat, base: $base, tag: ($tag, name) };
                Self {
                    $($counter: scope.counter($counter_name),)*
                    $($gauge: scope.gauge($gauge_name),)*
                    $($histogram: scope.histogram($histogram_name),)*
                    $($class: scope.classes($class_name),)*
                }
            }
        }
    };
}
