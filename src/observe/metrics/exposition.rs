//! What requests counted, in Prometheus's text format: written with the recorder's own functions, as it writes the rest.

use std::collections::BTreeMap;
use std::fmt::Display;

use metrics_exporter_prometheus::LabelSet;
use metrics_exporter_prometheus::formatting::{write_help_line, write_metric_line, write_type_line};

use crate::observe::names::{self, Kind, Metric};
use crate::observe::series::{Buckets, CLASSES, Counts, HISTOGRAMS};

use super::{NONE, Routes, key};

/// Appends every family that has something to say.
pub(super) fn requests(out: &mut String, routes: &Routes) {
    let mut requests = Family::new(&names::REQUESTS);
    let mut responses = Family::new(&names::RESPONSES);
    let mut attempts = Family::new(&names::UPSTREAM_ATTEMPTS);
    let mut answers = Family::new(&names::UPSTREAM_RESPONSES);
    let mut of_routes = BTreeMap::new();
    for (route, all) in routes {
        let mut of_route = None::<Counts<u64>>;
        for (series, counts) in all.iter().filter_map(|series| Some((series, series.totals()?))) {
            for (outcome, count) in counts.outcomes() {
                let provider = series.provider.as_deref().unwrap_or(NONE);
                requests.add(&[&series.listener, route, provider, outcome.as_str(), outcome.reason()], count);
            }
            for (class, count) in CLASSES.iter().zip(counts.classes) {
                responses.add(&[&series.listener, route, class], count);
            }
            match &mut of_route {
                Some(sum) => sum.add(&counts),
                None => of_route = Some(counts),
            }
        }
        if let Some(counts) = of_route {
            attempts.add(&[route], counts.attempts);
            for (class, count) in CLASSES.iter().zip(counts.upstream) {
                answers.add(&[route, class], count);
            }
            of_routes.insert(route, counts);
        }
    }
    for family in [requests, responses, attempts, answers] {
        family.write(out);
    }
    for (place, metric) in HISTOGRAMS.into_iter().enumerate() {
        let members = of_routes.iter().filter_map(|(route, counts)| Some((&***route, counts.histograms.get(place)?)));
        histogram(out, metric, members);
    }
}

/// A counter's members.
struct Family {
    metric: &'static Metric,
    members: BTreeMap<Vec<String>, u64>,
}

impl Family {
    fn new(metric: &'static Metric) -> Self {
        Self { metric, members: BTreeMap::new() }
    }

    /// A member that two series share, because it has fewer labels than they, is their sum. One that counted nothing is absent.
    fn add(&mut self, values: &[&str], count: u64) {
        if count > 0 {
            *self.members.entry(values.iter().map(|value| (*value).to_owned()).collect()).or_default() += count;
        }
    }

    fn write(self, out: &mut String) {
        if self.members.is_empty() {
            return;
        }
        begin(out, self.metric);
        for (values, count) in self.members {
            let values: Vec<_> = values.iter().map(String::as_str).collect();
            line(out, self.metric, None, &labels(self.metric, &values), None, count);
        }
        out.push('\n');
    }
}

fn histogram<'c>(out: &mut String, metric: &Metric, members: impl Iterator<Item = (&'c str, &'c Buckets<u64>)>) {
    let Kind::Histogram(bounds) = metric.kind else { return };
    let mut members = members.filter(|(_, buckets)| buckets.counts.iter().any(|count| *count > 0)).peekable();
    if members.peek().is_none() {
        return;
    }
    begin(out, metric);
    // Sums are kept in whole nanoseconds.
    let unit = if bounds == names::BYTES { 1.0 } else { 1e9 };
    for (route, buckets) in members {
        let labels = labels(metric, &[route]);
        let mut below = 0;
        for (bound, count) in bounds.iter().zip(buckets.counts) {
            below += count;
            line(out, metric, Some("bucket"), &labels, Some(&bound.to_string()), below);
        }
        let count: u64 = buckets.counts.iter().sum();
        line(out, metric, Some("bucket"), &labels, Some("+Inf"), count);
        #[expect(clippy::cast_precision_loss, reason = "a sum of samples, as exact as the format")]
        line(out, metric, Some("sum"), &labels, None, buckets.sum as f64 / unit);
        line(out, metric, Some("count"), &labels, None, count);
    }
    out.push('\n');
}

fn begin(out: &mut String, metric: &Metric) {
    write_help_line(out, metric.name, None, None, metric.help);
    write_type_line(out, metric.name, None, None, metric.kind.as_str());
}

fn labels(metric: &Metric, values: &[&str]) -> LabelSet {
    LabelSet::from_key_and_global(&key(metric, values), &Default::default())
}

fn line(
    out: &mut String,
    metric: &Metric,
    suffix: Option<&'static str>,
    labels: &LabelSet,
    bound: Option<&str>,
    value: impl Display,
) {
    write_metric_line(out, metric.name, suffix, labels, bound.map(|bound| ("le", bound)), value, None);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use metrics::Recorder;
    use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};

    use super::*;
    use crate::domain::{Fault, Outcome};
    use crate::observe::RequestEvent;
    use crate::observe::metrics::{METADATA, Metrics, RouteLabels};
    use crate::observe::tests::event;

    /// What the recorder itself writes of the same requests, its samples one by one.
    fn by_the_recorder(events: &[RequestEvent<'_>]) -> String {
        let mut builder = PrometheusBuilder::new();
        for metric in HISTOGRAMS {
            let Kind::Histogram(bounds) = metric.kind else { panic!("{}", metric.name) };
            builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), bounds).unwrap();
        }
        let recorder = builder.build_recorder();
        for metric in [&names::REQUESTS, &names::RESPONSES, &names::UPSTREAM_ATTEMPTS, &names::UPSTREAM_RESPONSES] {
            recorder.describe_counter(metric.name.into(), None, metric.help.into());
        }
        for metric in HISTOGRAMS {
            recorder.describe_histogram(metric.name.into(), None, metric.help.into());
        }
        let add = |metric: &Metric, values: &[&str], by: u64| {
            recorder.register_counter(&key(metric, values), &METADATA).increment(by);
        };
        for event in events {
            let (route, provider) = (event.route.unwrap_or("-"), event.provider.unwrap_or("-"));
            let (outcome, reason) = (event.outcome.as_str(), event.outcome.reason());
            add(&names::REQUESTS, &[event.listener, route, provider, outcome, reason], 1);
            add(&names::RESPONSES, &[event.listener, route, CLASSES[usize::from(event.status / 100)]], 1);
            if event.attempts > 0 {
                add(&names::UPSTREAM_ATTEMPTS, &[route], event.attempts.into());
            }
            if let Some(status) = event.upstream_status {
                add(&names::UPSTREAM_RESPONSES, &[route, CLASSES[usize::from(status / 100)]], 1);
            }
            let seconds = [event.total, event.read, event.verify, event.forward].map(|time| time.as_secs_f64());
            for (metric, value) in HISTOGRAMS.into_iter().zip(seconds.into_iter().chain([event.body_bytes as f64])) {
                if value > 0.0 {
                    recorder.register_histogram(&key(metric, &[route]), &METADATA).record(value);
                }
            }
        }
        recorder.handle().render()
    }

    fn sorted(text: &str) -> Vec<&str> {
        let mut lines: Vec<_> = text.lines().filter(|line| !line.is_empty()).collect();
        lines.sort_unstable();
        lines
    }

    #[test]
    fn the_text_is_what_the_recorder_would_have_written() {
        // In units of 1/512 s, so that the recorder's sums are exact in whatever order they are added up.
        let time = |units: u32| Duration::from_nanos(1_953_125) * units;
        let events: Vec<_> = (0..200_u32)
            .map(|n| RequestEvent {
                listener: if n % 3 == 0 { "public" } else { "second" },
                route: [Some("github"), Some("odd \"name\"\\"), None][n as usize % 3],
                provider: (n % 3 == 0).then_some("github"),
                status: [0, 200, 404, 503][n as usize % 4],
                upstream_status: (n % 2 == 0).then_some([204, 500][n as usize / 2 % 2]),
                attempts: n % 5,
                body_bytes: u64::from(n) * 256,
                read: time(n % 7),
                verify: time(n * n),
                forward: Duration::ZERO,
                total: time(n),
                ..event(if n % 5 == 0 { Outcome::from(Fault::UpstreamReset) } else { Outcome::Delivered })
            })
            .collect();
        let metrics = Metrics::new();
        let labels = RouteLabels { route: "github".into(), provider: Some("github".into()) };
        metrics.set_routes(&[Arc::from("public")], &[labels]);
        std::thread::scope(|scope| {
            for part in events.chunks(50) {
                scope.spawn(|| part.iter().for_each(|event| metrics.request(event)));
            }
        });
        let mut text = String::new();
        requests(&mut text, &metrics.known.lock().unwrap());
        let expected = by_the_recorder(&events);
        for (line, expected) in sorted(&text).into_iter().zip(sorted(&expected)) {
            assert_eq!(line, expected);
        }
        assert_eq!(text.lines().count(), expected.lines().count());
    }
}
