//! What a challenger has to show.

/// The rules of the gate. All of them have to hold: that a challenger which breaks one of them
/// passes is therefore no likelier than that it passes this one alone, and no rule has to be
/// stricter for there being others (an intersection–union test: Berger, 1982).
#[derive(Clone, Debug)]
pub struct GateRules {
    /// What the models are compared by.
    pub metric: String,
    /// What the challenger has to reach of it, greater being better.
    pub min_score: f64,
    /// What it has to reach of other metrics.
    pub at_least: Vec<(String, f64)>,
    /// What it has to reach of metrics on rows of another network.
    pub at_least_elsewhere: Vec<(String, f64)>,
    /// What it has to reach of single classes.
    pub at_least_by_class: Vec<ClassFloors>,
    /// What has to be found of each family of attacks by models that never saw it, by the share.
    pub unseen: Vec<(String, f64)>,
    /// What it has to be better in.
    pub improve: ImproveRule,
    /// What it must not be worse in.
    pub not_worse: Vec<NotWorseRule>,
    /// What it must not exceed.
    pub limits: GateLimits,
    /// The windows of time by which figures are told apart.
    pub by_time: Option<WindowRule>,
    /// Columns by whose values figures are told apart.
    pub slices: Vec<String>,
    /// The traffic that it is to watch.
    pub traffic: Option<ExpectedTraffic>,
    /// The fewest attacks to judge by.
    pub min_attacks: usize,
    /// The fewest benign rows to judge by.
    pub min_benign: usize,
    /// Whether test rows that equal training rows are judged by, too.
    pub keeps_seen: bool,
}

/// Windows of time.
#[derive(Clone, Debug)]
pub struct WindowRule {
    /// The column of times.
    pub column: String,
    /// How long a window is, as it is written.
    pub window: String,
    /// The same in seconds.
    pub seconds: f64,
    /// The metric.
    pub metric: String,
    /// What it has to reach in each window.
    pub at_least: Option<f64>,
}

/// What the challenger has to reach of a class.
#[derive(Clone, Debug)]
pub struct ClassFloors {
    /// The class.
    pub class: String,
    /// Figures of `ClassFigures`, each with the least.
    pub figures: Vec<(String, f64)>,
}

/// What the challenger has to be better in than the champion.
#[derive(Clone, Debug)]
pub enum ImproveRule {
    /// Its score has to be higher, by however little.
    AnyHigher,
    /// The interval of the difference has to lie above a value.
    Proven {
        /// The metric.
        metric: String,
        /// The value.
        by: f64,
        /// How often such an interval holds the true difference.
        confidence: f64,
    },
}

/// What the challenger must not be worse in than the champion.
#[derive(Clone, Debug)]
pub struct NotWorseRule {
    /// The metric.
    pub metric: String,
    /// The column for each of whose values it has to hold; none for all rows together.
    pub slice: Option<String>,
    /// Whether it has to hold for each class.
    pub each_class: bool,
    /// How much worse still passes.
    pub margin: f64,
    /// How often the interval of the difference holds the true one.
    pub confidence: f64,
    /// Whether rows too few to tell pass.
    pub passes_unclear: bool,
}

/// What the challenger must not exceed.
#[derive(Clone, Debug, Default)]
pub struct GateLimits {
    /// Its false-positive rate at its threshold.
    pub fpr: Option<f64>,
    /// Its alerts a day in the expected traffic.
    pub alerts_per_day: Option<f64>,
    /// Its size in megabytes (10⁶ bytes).
    pub size_mb: Option<f64>,
    /// The time that it takes to score one row, in milliseconds (99th percentile).
    pub latency_ms: Option<f64>,
}

/// The traffic that a detector is to watch.
#[derive(Clone, Copy, Debug)]
pub struct ExpectedTraffic {
    /// Rows a day.
    pub rows_per_day: f64,
    /// The share of them that are attacks.
    pub prevalence: f64,
    /// How many alerts a day can be looked at.
    pub analysts_per_day: Option<f64>,
}
