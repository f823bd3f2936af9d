//! Constant metric families, built anew for one scrape.
//!
//! Collectors describe what they saw at one moment, so nothing here is registered or remembered:
//! a [`Metrics`] is filled, encoded and dropped. The encoder is the `prometheus` crate's.

use std::collections::BTreeMap;

use crate::text;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder as _, TextEncoder};

/// The content type of what [`Metrics::encode`] writes: text format 0.0.4.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The label value that sums up what a bound cut off.
pub(crate) const OTHER: &str = "other";

/// Name, help text and type of a metric family.
#[derive(Debug, Clone, Copy)]
pub struct Desc {
    name: &'static str,
    help: &'static str,
    counter: bool,
}

impl Desc {
    /// A value that goes up and down.
    pub const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, help, counter: false }
    }

    /// A value that only rises, or starts anew.
    pub const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, help, counter: true }
    }
}

/// The metric families of one scrape, ordered by name.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    families: BTreeMap<&'static str, MetricFamily>,
}

impl Metrics {
    /// Adds one sample. Labels keep their order; an empty label value is the same as none.
    pub fn add(&mut self, desc: &Desc, labels: &[(&str, &str)], value: f64) {
        let family = self.families.entry(desc.name).or_insert_with(|| {
            let mut family = MetricFamily::default();
            family.set_name(desc.name.to_owned());
            family.set_help(desc.help.to_owned());
            let kind = if desc.counter { MetricType::COUNTER } else { MetricType::GAUGE };
            family.set_field_type(kind);
            family
        });
        let mut metric = Metric::default();
        metric.set_label(labels.iter().map(|&(name, value)| label(name, value)).collect());
        if desc.counter {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        family.mut_metric().push(metric);
    }

    /// Adds every sample of `other`, whose families are of the same types where names are equal.
    pub fn merge(&mut self, other: &Metrics) {
        for (&name, family) in &other.families {
            match self.families.get_mut(name) {
                Some(mine) => mine.mut_metric().extend_from_slice(family.get_metric()),
                None => {
                    self.families.insert(name, family.clone());
                }
            }
        }
    }

    /// The text exposition format, version 0.0.4.
    pub fn encode(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(64 * 1024);
        for family in self.families.values() {
            // It refuses only a family without a name or a sample, and none such is ever added.
            if let Err(error) =
                TextEncoder.encode(std::slice::from_ref(family), &mut InfPlus(&mut text))
            {
                tracing::error!(family = family.name(), %error, "metric family left out");
            }
        }
        text
    }
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    // Whoever sums up by a label has made it safe before: here it only stays so.
    pair.set_value(text::escape_lines(value));
    pair
}

/// Writes `+Inf`, as the format has it, where the `prometheus` crate 0.14 writes Rust's `inf`.
///
/// The crate hands over each value as one write of its own, after a space; a label value comes after
/// a quote, so one that reads `inf` stays as it is.
struct InfPlus<'a>(&'a mut Vec<u8>);

impl std::io::Write for InfPlus<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let infinite = bytes == b"inf" && self.0.ends_with(b" ");
        self.0.extend_from_slice(if infinite { b"+Inf" } else { bytes });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(metrics: &Metrics) -> String {
        String::from_utf8(metrics.encode()).unwrap()
    }

    #[test]
    fn families_are_sorted_and_carry_help_and_type() {
        let mut metrics = Metrics::default();
        metrics.add(&Desc::counter("telltale_b_total", "second"), &[("k", "v\"\\\n")], 3.0);
        metrics.add(&Desc::gauge("telltale_a", "first"), &[], 0.5);
        assert_eq!(
            text(&metrics),
            "# HELP telltale_a first\n# TYPE telltale_a gauge\ntelltale_a 0.5\n\
             # HELP telltale_b_total second\n# TYPE telltale_b_total counter\n\
             telltale_b_total{k=\"v\\\"\\\\\\n\"} 3\n"
        );
    }

    #[test]
    fn unlimited_is_plus_inf_and_label_values_stay() {
        let mut metrics = Metrics::default();
        let desc = Desc::gauge("telltale_limit", "not inf");
        metrics.add(&desc, &[("user", "inf")], f64::INFINITY);
        metrics.add(&desc, &[("user", "x inf")], f64::INFINITY);
        assert_eq!(
            text(&metrics),
            "# HELP telltale_limit not inf\n# TYPE telltale_limit gauge\n\
             telltale_limit{user=\"inf\"} +Inf\ntelltale_limit{user=\"x inf\"} +Inf\n"
        );
    }

    #[test]
    fn merged_families_keep_all_samples() {
        let desc = Desc::gauge("telltale_a", "help");
        let (mut one, mut two) = (Metrics::default(), Metrics::default());
        one.add(&desc, &[("c", "1")], 1.0);
        two.add(&desc, &[("c", "2")], 2.0);
        one.merge(&two);
        assert!(text(&one).ends_with("telltale_a{c=\"1\"} 1\ntelltale_a{c=\"2\"} 2\n"));
        assert_eq!(text(&one).matches("# TYPE").count(), 1);
    }

    #[test]
    fn nothing_in_a_label_reaches_a_terminal() {
        let mut metrics = Metrics::default();
        let hostile = "\x1b[2J\n\u{202e}\"";
        metrics.add(&Desc::gauge("telltale_a", "first"), &[("comm", hostile)], 1.0);
        let text = text(&metrics);
        assert!(text.contains(r#"{comm="\\u{1b}[2J\n\\u{202e}\""} 1"#), "{text}");
        assert!(!text.chars().any(|char| char != '\n' && crate::text::is_unsafe(char)));
    }

    #[test]
    fn bytes_that_are_not_utf8_stay_visible() {
        assert_eq!(text::label(b"\xff\xfe"), "\\xff\\xfe");
        assert_eq!(text::label("zażółć".as_bytes()), "zażółć");
        assert_eq!(text::label(b"a\xc3("), "a\\xc3(");
    }
}
