//! What a server counts, in the form that Prometheus reads.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::scoring::live_drift::DriftWindow;
use crate::scoring::scorer::RowVerdict;
use crate::serve::shadow::ShadowAgreement;

/// The type of what `ServeMetrics::text` returns.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The limits of what requests take, in seconds.
const SECONDS: [f64; 13] = [
    0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0,
];

/// The limits of probabilities.
const PROBABILITIES: [f64; 11] = [0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99];

/// A route and how it answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// The route as it is declared.
    pub route: String,
    /// The status.
    pub status: u16,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteLabels {
    /// The route as it is declared.
    pub route: String,
}

/// A model.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ModelLabels {
    /// The name under which it answers.
    pub model: String,
}

/// A model of a digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DigestLabels {
    /// The name under which it answers.
    pub model: String,
    /// Its digest.
    pub digest: String,
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum RowOutcome {
    /// It reaches the threshold.
    Alarm,
    /// It does not.
    NoAlarm,
    /// It could not be scored.
    Error,
}

/// A model and what became of a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RowLabels {
    /// The name under which the model answers.
    pub model: String,
    /// The beginning of its digest.
    pub digest: String,
    /// What became of the row.
    pub outcome: RowOutcome,
}

/// What came of a look at a model's source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum ReloadOutcome {
    /// Another model answers now.
    Swapped,
    /// The new one was refused.
    Kept,
}

/// A model and what came of a look at its source.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReloadLabels {
    /// The name under which the model answers.
    pub model: String,
    /// What came of it.
    pub outcome: ReloadOutcome,
}

type NewHistogram = fn() -> Histogram;

/// What a server counts.
pub struct ServeMetrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabels, Histogram, NewHistogram>,
    rows: Family<RowLabels, Counter>,
    probabilities: Family<DigestLabels, Histogram, NewHistogram>,
    models: Family<DigestLabels, Gauge>,
    reloads: Family<ReloadLabels, Counter>,
    /// How many requests are being answered.
    pub in_flight: Gauge,
    /// Whether the server takes requests: 1, or 0 while it drains.
    pub ready: Gauge,
    /// Time spent scoring rows.
    pub scoring_seconds: Counter<f64, AtomicU64>,
    /// What is counted beside the answers.
    pub observer: ObserverMetrics,
}

/// What is counted beside the answers.
#[derive(Clone, Default)]
pub struct ObserverMetrics {
    /// Requests that were answered and not looked at, as too many waited.
    pub lost: Counter,
    /// Rows that were logged.
    pub logged: Counter,
    /// Whether predictions are logged.
    pub is_logging: Gauge,
    shadow_rows: Family<ModelLabels, Gauge>,
    shadow_differ: Family<ModelLabels, Gauge>,
    drift_windows: Family<ModelLabels, Gauge>,
    drifted_columns: Family<ModelLabels, Gauge>,
    column_effect: Family<ColumnLabels, Gauge<f64, AtomicU64>>,
    column_drifted: Family<ColumnLabels, Gauge>,
}

/// A column that a model needs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ColumnLabels {
    /// The name under which the model answers.
    pub model: String,
    /// The column.
    pub column: String,
}

impl ObserverMetrics {
    fn register(&self, registry: &mut Registry) {
        let lost = "Requests that were answered and not looked at, as too many waited";
        registry.register("observer_lost", lost, self.lost.clone());
        registry.register("logged_rows", "Rows that were logged", self.logged.clone());
        let is_logging = "Whether predictions are logged";
        registry.register("logging", is_logging, self.is_logging.clone());
        let rows = "Rows that a challenger was asked about beside the champion";
        registry.register("shadow_rows", rows, self.shadow_rows.clone());
        let differ = "Rows of which champion and challenger disagree whether they are alarms";
        registry.register("shadow_disagreements", differ, self.shadow_differ.clone());
        let windows = "Windows of rows that were compared with those of training";
        registry.register("drift_windows", windows, self.drift_windows.clone());
        let drifted = "Columns that drifted in the last window";
        registry.register("drifted_columns", drifted, self.drifted_columns.clone());
        let effect = "The greatest effect that was found in a column in the last window";
        registry.register("drift_effect", effect, self.column_effect.clone());
        let alarm = "Whether a column drifted in the last window";
        registry.register("drift_alarm", alarm, self.column_drifted.clone());
    }

    /// Counts how far a challenger agrees.
    pub fn shadow(&self, model: &str, agreement: &ShadowAgreement) {
        let labels = ModelLabels {
            model: escaped(model),
        };
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let differ = agreement.champion_only + agreement.challenger_only;
        self.shadow_rows
            .get_or_create(&labels)
            .set(number(agreement.rows));
        self.shadow_differ
            .get_or_create(&labels)
            .set(number(differ));
    }

    /// Tells what a window looks like.
    pub fn window(&self, model: &str, window: &DriftWindow) {
        let labels = ModelLabels {
            model: escaped(model),
        };
        let number = i64::from(window.number);
        self.drift_windows.get_or_create(&labels).set(number);
        let drifted = i64::try_from(window.report.drifted_columns).unwrap_or(i64::MAX);
        self.drifted_columns.get_or_create(&labels).set(drifted);
        for column in &window.report.columns {
            let labels = ColumnLabels {
                model: escaped(model),
                column: escaped(&column.column),
            };
            let effects = column.asked.iter().map(|asked| asked.effect);
            let effect = effects.fold(0.0, f64::max);
            self.column_effect.get_or_create(&labels).set(effect);
            let drifted = i64::from(column.drifted);
            self.column_drifted.get_or_create(&labels).set(drifted);
        }
    }
}

impl Default for ServeMetrics {
    fn default() -> Self {
        let seconds: NewHistogram = || Histogram::new(SECONDS);
        let probabilities: NewHistogram = || Histogram::new(PROBABILITIES);
        let mut metrics = Self {
            registry: Registry::with_prefix("netsec"),
            requests: Family::default(),
            seconds: Family::new_with_constructor(seconds),
            rows: Family::default(),
            probabilities: Family::new_with_constructor(probabilities),
            models: Family::default(),
            reloads: Family::default(),
            in_flight: Gauge::default(),
            ready: Gauge::default(),
            scoring_seconds: Counter::default(),
            observer: ObserverMetrics::default(),
        };
        metrics.register();
        metrics
    }
}

impl ServeMetrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "requests",
            "Requests that were answered",
            self.requests.clone(),
        );
        registry.register(
            "request_seconds",
            "How long requests took, from their head to the answer",
            self.seconds.clone(),
        );
        registry.register("rows", "Rows that were asked about", self.rows.clone());
        registry.register(
            "probability",
            "Probabilities of attack that were told",
            self.probabilities.clone(),
        );
        registry.register(
            "model_info",
            "The model that answers under a name",
            self.models.clone(),
        );
        registry.register(
            "reloads",
            "Models that were swapped, or kept because the new one was refused",
            self.reloads.clone(),
        );
        registry.register(
            "requests_in_flight",
            "Requests that are being answered",
            self.in_flight.clone(),
        );
        registry.register(
            "ready",
            "Whether the server takes requests",
            self.ready.clone(),
        );
        registry.register(
            "scoring_seconds",
            "Time spent scoring rows",
            self.scoring_seconds.clone(),
        );
        self.observer.register(registry);
    }

    /// Counts a request that was answered.
    pub fn request(&self, route: &str, status: u16, seconds: f64) {
        let route = route.to_owned();
        let of_route = RouteLabels {
            route: route.clone(),
        };
        self.seconds.get_or_create(&of_route).observe(seconds);
        let labels = RequestLabels { route, status };
        self.requests.get_or_create(&labels).inc();
    }

    /// Counts rows that were asked about, and how long the answer took.
    pub fn verdicts(&self, model: &str, digest: &str, verdicts: &[RowVerdict], seconds: f64) {
        let (mut alarms, mut errors) = (0, 0);
        let labels = DigestLabels {
            model: escaped(model),
            digest: digest.to_owned(),
        };
        let probabilities = self.probabilities.get_or_create(&labels);
        for verdict in verdicts {
            match verdict {
                Ok(score) => {
                    alarms += u64::from(score.alarm);
                    probabilities.observe(score.probability);
                }
                Err(_) => errors += 1,
            }
        }
        drop(probabilities);
        let others = verdicts.len() as u64 - alarms - errors;
        let counts = [
            (RowOutcome::Alarm, alarms),
            (RowOutcome::NoAlarm, others),
            (RowOutcome::Error, errors),
        ];
        for (outcome, count) in counts {
            if count > 0 {
                let labels = RowLabels {
                    model: escaped(model),
                    digest: digest.to_owned(),
                    outcome,
                };
                self.rows.get_or_create(&labels).inc_by(count);
            }
        }
        self.scoring_seconds.inc_by(seconds);
    }

    /// Says which model answers under a name, and no other does.
    pub fn model(&self, name: &str, digest: &str, before: Option<&str>) {
        let labels = |digest: &str| DigestLabels {
            model: escaped(name),
            digest: digest.to_owned(),
        };
        if let Some(before) = before {
            self.models.remove(&labels(before));
        }
        self.models.get_or_create(&labels(digest)).set(1);
    }

    /// Counts a look at a model's source.
    pub fn reload(&self, name: &str, outcome: ReloadOutcome) {
        let model = escaped(name);
        let labels = ReloadLabels { model, outcome };
        self.reloads.get_or_create(&labels).inc();
    }

    /// Returns everything as text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a string takes everything");
        text
    }
}

/// Returns the value of a label as it has to be written.
fn escaped(value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"");
    value.replace('\n', "\\n")
}
