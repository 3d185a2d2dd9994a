//! Metrics that filters define at run time: `lockgate_filter_custom_NAME{filter, …}`.
//!
//! ```text
//!   "My-Hits{Route=a}" ─▶ my_hits{route="a"} ─▶ lockgate_filter_custom_my_hits_total{filter="gate",route="a"}
//! ```
//!
//! A filter's name for a metric may be followed by labels in braces. Characters that Prometheus
//! does not take become `_`, counters end in `_total`, other kinds do not end like a part of
//! another family. Where that makes two metrics one (two kinds, or two names of one filter), the
//! later is numbered: `my_hits_2`. Refuses more metrics than the limit and names that are too
//! long, by handing out a metric that counts nothing: SDKs trap on an error.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

/// Longer names are a mistake, or a client's text in a name.
const NAME_BYTES_MAX: usize = 256;

/// Bounds of histograms, whose unit only the filter knows: those of Envoy, without its 0.5.
const BUCKETS: [u64; 18] = [
    1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000,
    3_600_000,
];

/// Endings of series that belong to a histogram or counter of the name before them.
const RESERVED_ENDINGS: [&str; 4] = ["_total", "_bucket", "_sum", "_count"];

/// The kinds of metrics of Proxy-Wasm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CustomKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts values by size.
    Histogram,
}

/// The metrics that the filters of a process have defined. Clones are the same.
#[derive(Clone, Default)]
pub struct CustomMetrics(Arc<Mutex<Book>>);

/// One metric; clones are the same. Counting is an atomic addition.
#[derive(Clone, Debug)]
pub struct CustomHandle {
    kind: CustomKind,
    /// `None` counts nothing.
    series: Option<Arc<Series>>,
}

/// Labels with their values, `filter` among them.
type Labels = BTreeMap<String, String>;

#[derive(Default)]
struct Book {
    families: BTreeMap<String, Family>,
    filters: HashMap<String, Defined>,
}

struct Family {
    kind: CustomKind,
    series: BTreeMap<Labels, Arc<Series>>,
}

/// What one filter has defined, by its own names.
#[derive(Default)]
struct Defined {
    metrics: HashMap<(CustomKind, String), CustomHandle>,
    is_told: bool,
}

#[derive(Debug, Default)]
struct Series {
    /// Of a counter or gauge, the latter in two's complement; of a histogram the sum.
    value: AtomicU64,
    /// Of a histogram: values up to each bound and above the one before, and beyond the last.
    buckets: Option<Box<[AtomicU64; BUCKETS.len() + 1]>>,
}

impl CustomMetrics {
    /// The metric `name` of `filter`, which is made unless it is there; at most `limit` per filter.
    #[must_use]
    pub fn define(&self, filter: &str, kind: CustomKind, name: &str, limit: usize) -> CustomHandle {
        let mut book = self.book();
        let Book { families, filters } = &mut *book;
        let defined = filters.entry(filter.to_owned()).or_default();
        let key = (kind, name.to_owned());
        if let Some(handle) = defined.metrics.get(&key) {
            return handle.clone();
        }
        if defined.metrics.len() >= limit || name.len() > NAME_BYTES_MAX {
            if !std::mem::replace(&mut defined.is_told, true) {
                tracing::warn!(
                    filter,
                    limit,
                    bytes_max = NAME_BYTES_MAX,
                    "too many metrics or too long a name; what is beyond is not counted"
                );
            }
            return CustomHandle { kind, series: None };
        }
        let series = Arc::new(Series::new(kind));
        place(families, filter, kind, name, series.clone());
        let handle = CustomHandle { kind, series: Some(series) };
        defined.metrics.insert(key, handle.clone());
        handle
    }

    /// Forgets what `filter` has defined; handles go on, unseen.
    pub fn remove(&self, filter: &str) {
        let mut book = self.book();
        book.filters.remove(filter);
        book.families.retain(|_, family| {
            family.series.retain(|labels, _| labels.get("filter").is_none_or(|name| name != filter));
            !family.series.is_empty()
        });
    }

    /// A panic elsewhere leaves counters that are still right.
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CustomHandle {
    /// What was defined.
    #[must_use]
    pub fn kind(&self) -> CustomKind {
        self.kind
    }

    /// Adds to a counter or gauge; what would lower a counter is ignored.
    pub fn add(&self, by: i64) {
        let applies = match self.kind {
            CustomKind::Counter => by > 0,
            CustomKind::Gauge => true,
            CustomKind::Histogram => false,
        };
        if let Some(series) = self.series.as_ref().filter(|_| applies) {
            series.value.fetch_add(by.cast_unsigned(), Ordering::Relaxed);
        }
    }

    /// Sets a gauge; shown as a signed number.
    pub fn set(&self, value: u64) {
        if let Some(series) = self.series.as_ref().filter(|_| self.kind == CustomKind::Gauge) {
            series.value.store(value, Ordering::Relaxed);
        }
    }

    /// Counts a value in a histogram.
    pub fn observe(&self, value: u64) {
        if let Some(series) = &self.series
            && let Some(buckets) = &series.buckets
        {
            let bucket = BUCKETS.partition_point(|bound| *bound < value);
            buckets[bucket].fetch_add(1, Ordering::Relaxed);
            series.value.fetch_add(value, Ordering::Relaxed);
        }
    }

    /// The value of a counter or gauge, or how many values a histogram has counted.
    #[must_use]
    pub fn value(&self) -> u64 {
        let Some(series) = &self.series else { return 0 };
        match &series.buckets {
            None => series.value.load(Ordering::Relaxed),
            Some(buckets) => buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum(),
        }
    }
}

impl Series {
    fn new(kind: CustomKind) -> Self {
        Self { buckets: (kind == CustomKind::Histogram).then(Box::default), ..Self::default() }
    }

    fn metric(&self, kind: CustomKind, labels: &Labels) -> Metric {
        let mut metric = Metric::from_label(labels.iter().map(label_pair).collect());
        let value = self.value.load(Ordering::Relaxed);
        match kind {
            CustomKind::Counter => {
                let mut counter = Counter::default();
                counter.set_value(value as f64);
                metric.set_counter(counter);
            }
            CustomKind::Gauge => {
                let mut gauge = Gauge::default();
                gauge.set_value(value.cast_signed() as f64);
                metric.set_gauge(gauge);
            }
            CustomKind::Histogram => metric.set_histogram(self.histogram(value)),
        }
        metric
    }

    fn histogram(&self, sum: u64) -> Histogram {
        let mut histogram = Histogram::default();
        let counts = self.buckets.iter().flat_map(|buckets| buckets.iter());
        let mut total = 0;
        let mut shown = Vec::with_capacity(BUCKETS.len());
        for (index, count) in counts.enumerate() {
            total += count.load(Ordering::Relaxed);
            if let Some(bound) = BUCKETS.get(index) {
                let mut bucket = Bucket::default();
                bucket.set_upper_bound(*bound as f64);
                bucket.set_cumulative_count(total);
                shown.push(bucket);
            }
        }
        histogram.set_bucket(shown);
        histogram.set_sample_count(total);
        histogram.set_sample_sum(sum as f64);
        histogram
    }
}

impl Collector for CustomMetrics {
    /// None: the families are not known beforehand.
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let book = self.book();
        let shown = |(name, family): (&String, &Family)| {
            let mut shown = MetricFamily::default();
            shown.set_name(name.clone());
            shown.set_help("Defined by a filter.".to_owned());
            shown.set_field_type(match family.kind {
                CustomKind::Counter => MetricType::COUNTER,
                CustomKind::Gauge => MetricType::GAUGE,
                CustomKind::Histogram => MetricType::HISTOGRAM,
            });
            shown.set_metric(family.series.iter().map(|(labels, series)| series.metric(family.kind, labels)).collect());
            shown
        };
        book.families.iter().map(shown).collect()
    }
}

fn label_pair((name, value): (&String, &String)) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.clone());
    pair.set_value(value.clone());
    pair
}

/// Puts `series` into the first family that is of its kind and has no such labels yet.
fn place(families: &mut BTreeMap<String, Family>, filter: &str, kind: CustomKind, name: &str, series: Arc<Series>) {
    let (base, labels) = read_name(filter, name);
    for number in 1.. {
        let family = families.entry(family_name(&base, kind, number));
        let family = family.or_insert_with(|| Family { kind, series: BTreeMap::new() });
        if family.kind == kind && !family.series.contains_key(&labels) {
            family.series.insert(labels, series);
            return;
        }
    }
}

fn family_name(base: &str, kind: CustomKind, number: usize) -> String {
    let is_counter = kind == CustomKind::Counter;
    let base = if is_counter { base.strip_suffix("_total").unwrap_or(base) } else { base };
    let ending = match kind {
        CustomKind::Counter => "_total",
        _ if RESERVED_ENDINGS.iter().any(|ending| base.ends_with(ending)) => "_value",
        _ => "",
    };
    let number = if number > 1 { format!("_{number}") } else { String::new() };
    format!("lockgate_filter_custom_{base}{number}{ending}")
}

/// The name in legal characters, and the labels behind it. Braces that hold no labels are part of
/// the name.
fn read_name(filter: &str, name: &str) -> (String, Labels) {
    let (base, mut labels) = split_labels(name).unwrap_or((name, Labels::new()));
    labels.insert("filter".to_owned(), filter.to_owned());
    (legal(base), labels)
}

fn split_labels(name: &str) -> Option<(&str, Labels)> {
    let (base, labels) = name.strip_suffix('}')?.split_once('{')?;
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=')?;
        let value = value.trim();
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        Some((label_name(key.trim()), value.to_owned()))
    };
    Some((base, labels.split(',').map(pair).collect::<Option<_>>()?))
}

/// What Prometheus or Lockgate uses itself gets the prefix that Prometheus gives such names.
fn label_name(key: &str) -> String {
    let name = legal(key);
    let is_taken = matches!(name.as_str(), "filter" | "le" | "quantile");
    let is_legal = !name.starts_with("__") && !name.starts_with(|first: char| first.is_ascii_digit());
    if is_legal && !is_taken { name } else { format!("exported_{name}") }
}

/// `a`–`z`, `0`–`9` and `_`; `:` is for the rules of a Prometheus server.
fn legal(name: &str) -> String {
    let legal = |char: char| if char.is_ascii_alphanumeric() { char.to_ascii_lowercase() } else { '_' };
    if name.is_empty() { "unnamed".to_owned() } else { name.chars().map(legal).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(custom: &CustomMetrics) -> String {
        prometheus::TextEncoder::new().encode_to_string(&custom.collect()).unwrap()
    }

    #[test]
    fn names_become_legal_and_labels_are_read() {
        for (kind, name, expected) in [
            (CustomKind::Counter, "My-Hits{Route=a, b=\"c\"}", "my_hits_total{b=\"c\",filter=\"gate\",route=\"a\"} 0"),
            (CustomKind::Counter, "hits_total", "hits_total{filter=\"gate\"} 0"),
            (CustomKind::Gauge, "size:é", "size__{filter=\"gate\"} 0"),
            (CustomKind::Gauge, "x_count", "x_count_value{filter=\"gate\"} 0"),
            (CustomKind::Gauge, "a{b}", "a_b_{filter=\"gate\"} 0"),
            (CustomKind::Gauge, "", "unnamed{filter=\"gate\"} 0"),
            (
                CustomKind::Gauge,
                "g{filter=x,1=y,__z=w,le=1}",
                "g{exported_1=\"y\",exported___z=\"w\",exported_filter=\"x\",exported_le=\"1\",filter=\"gate\"} 0",
            ),
        ] {
            let custom = CustomMetrics::default();
            let _ = custom.define("gate", kind, name, 10);
            let text = shown(&custom);
            let line = format!("lockgate_filter_custom_{expected}");
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn kinds_count_as_they_should() {
        let custom = CustomMetrics::default();
        let [counter, gauge, histogram] = [CustomKind::Counter, CustomKind::Gauge, CustomKind::Histogram]
            .map(|kind| custom.define("gate", kind, "m", 10));
        for handle in [&counter, &gauge, &histogram] {
            handle.add(5);
            handle.add(-2);
            handle.observe(7);
        }
        assert_eq!([counter.value(), gauge.value(), histogram.value()], [5, 3, 1]);
        for handle in [&counter, &gauge, &histogram] {
            handle.set(9);
        }
        gauge.add(-10);
        histogram.observe(u64::from(u32::MAX));
        assert_eq!([counter.value(), gauge.value(), histogram.value()], [5, u64::MAX, 2]);
        let text = shown(&custom);
        for line in [
            "lockgate_filter_custom_m_total{filter=\"gate\"} 5",
            "lockgate_filter_custom_m{filter=\"gate\"} -1",
            "lockgate_filter_custom_m_2_bucket{filter=\"gate\",le=\"5\"} 0",
            "lockgate_filter_custom_m_2_bucket{filter=\"gate\",le=\"10\"} 1",
            "lockgate_filter_custom_m_2_bucket{filter=\"gate\",le=\"+Inf\"} 2",
            "lockgate_filter_custom_m_2_sum{filter=\"gate\"} 4294967302",
            "lockgate_filter_custom_m_2_count{filter=\"gate\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn a_metric_is_defined_once_and_survives() {
        let custom = CustomMetrics::default();
        custom.define("gate", CustomKind::Counter, "a.b", 10).add(1);
        custom.define("gate", CustomKind::Counter, "a.b", 10).add(1);
        custom.define("gate", CustomKind::Counter, "a-b", 10).add(5);
        custom.define("other", CustomKind::Counter, "a.b", 10).add(7);
        let text = shown(&custom);
        for line in ["a_b_total{filter=\"gate\"} 2", "a_b_2_total{filter=\"gate\"} 5", "a_b_total{filter=\"other\"} 7"]
        {
            assert!(text.contains(&format!("lockgate_filter_custom_{line}\n")), "{line}\n{text}");
        }
        custom.remove("gate");
        assert_eq!(shown(&custom).lines().filter(|line| !line.starts_with('#')).count(), 1);
        custom.remove("other");
        assert_eq!(shown(&custom), "");
    }

    #[test]
    fn what_is_beyond_the_limit_counts_nothing() {
        let custom = CustomMetrics::default();
        let first = custom.define("gate", CustomKind::Gauge, "a", 1);
        let second = custom.define("gate", CustomKind::Gauge, "b", 1);
        let long = custom.define("other", CustomKind::Histogram, &"x".repeat(NAME_BYTES_MAX + 1), 1);
        for handle in [&first, &second, &long] {
            handle.add(1);
            handle.observe(1);
        }
        assert_eq!([first.value(), second.value(), long.value()], [1, 0, 0]);
        assert_eq!((second.kind(), long.kind()), (CustomKind::Gauge, CustomKind::Histogram));
        custom.define("gate", CustomKind::Gauge, "a", 1).add(1);
        assert_eq!(first.value(), 2, "what is there is found at the limit");
        assert!(!shown(&custom).contains("custom_b"));
    }

    #[test]
    fn handles_may_go_to_any_thread() {
        fn is_shared<T: Send + Sync + Clone>() {}
        is_shared::<CustomHandle>();
        is_shared::<CustomMetrics>();
    }
}
