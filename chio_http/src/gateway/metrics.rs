//! What is counted, as Prometheus reads it: <https://prometheus.io/docs/instrumenting/exposition_formats/>.
//!
//! No label takes a value from a request: each is one of the words in this program, or the class of a status.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use hyper::{Request, Response};
use tower_service::Service;

use crate::body::{Body, BodyError};
use crate::decided::Decided;

/// The upper ends of the buckets of time, in microseconds, and as they are written.
const BUCKETS: [(u64, &str); 12] = [
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (5_000_000, "5"),
    (30_000_000, "30"),
];

/// The counts. A clone is another handle to the same.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    requests: Mutex<BTreeMap<(Decided, &'static str), u64>>,
    in_flight: AtomicI64,
    connections: AtomicI64,
    handshakes_failed: AtomicU64,
    buckets: [AtomicU64; BUCKETS.len()],
    answered: AtomicU64,
    answered_micros: AtomicU64,
}

impl Metrics {
    pub(crate) fn upstream_answered(&self, after: Duration) {
        let micros = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        if let Some((_, bucket)) = BUCKETS.iter().zip(&self.0.buckets).find(|((end, _), _)| micros <= *end) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.0.answered.fetch_add(1, Ordering::Relaxed);
        self.0.answered_micros.fetch_add(micros, Ordering::Relaxed);
    }

    pub(crate) fn connection(&self) -> Held {
        Held::new(self, |counts| &counts.connections)
    }

    pub(crate) fn handshake_failed(&self) {
        self.0.handshakes_failed.fetch_add(1, Ordering::Relaxed);
    }

    fn request(&self) -> Held {
        Held::new(self, |counts| &counts.in_flight)
    }

    pub(crate) fn counted(&self, answer: Response<Body>) -> Response<Body> {
        let passed = Decided { scheme: "none", is_allowed: true, code: "" };
        let decided = answer.extensions().get::<Decided>().copied().unwrap_or(passed);
        let class = match answer.status().as_u16() {
            100..=199 => "1xx",
            200..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            500..=599 => "5xx",
            _ => "other",
        };
        let mut requests = self.0.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let count = requests.entry((decided, class)).or_default();
        *count = count.saturating_add(1);
        drop(requests);
        answer
    }

    /// All of it, as text.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let counts = &*self.0;
        let head = |out: &mut String, name: &str, kind: &str, help: &str| {
            let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        };
        head(&mut out, "chio_http_requests_total", "counter", "Requests that were answered.");
        for ((Decided { scheme, is_allowed, code }, class), count) in
            counts.requests.lock().unwrap_or_else(PoisonError::into_inner).iter()
        {
            let decision = if *is_allowed { "allow" } else { "deny" };
            let _ = writeln!(
                out,
                "chio_http_requests_total{{scheme=\"{scheme}\",decision=\"{decision}\",code=\"{code}\",status=\"{class}\"}} {count}"
            );
        }
        for (name, help, gauge) in [
            ("chio_http_requests_in_flight", "Requests whose answer has not ended.", &counts.in_flight),
            ("chio_http_connections", "Connections of clients.", &counts.connections),
        ] {
            head(&mut out, name, "gauge", help);
            let _ = writeln!(out, "{name} {}", gauge.load(Ordering::Relaxed));
        }
        let name = "chio_http_handshakes_failed_total";
        head(&mut out, name, "counter", "TLS handshakes that failed.");
        let _ = writeln!(out, "{name} {}", counts.handshakes_failed.load(Ordering::Relaxed));
        let name = "chio_http_upstream_seconds";
        head(&mut out, name, "histogram", "Time until the head of the upstream's answer.");
        let mut below: u64 = 0;
        for ((_, end), bucket) in BUCKETS.iter().zip(&counts.buckets) {
            below = below.saturating_add(bucket.load(Ordering::Relaxed));
            let _ = writeln!(out, "{name}_bucket{{le=\"{end}\"}} {below}");
        }
        let (all, micros) = (counts.answered.load(Ordering::Relaxed), counts.answered_micros.load(Ordering::Relaxed));
        let seconds = Duration::from_micros(micros).as_secs_f64();
        let _ = writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {all}\n{name}_sum {seconds}\n{name}_count {all}");
        out
    }
}

/// Counted for as long as it lives.
#[derive(Debug)]
pub(crate) struct Held {
    metrics: Metrics,
    gauge: fn(&Counts) -> &AtomicI64,
}

impl Held {
    fn new(metrics: &Metrics, gauge: fn(&Counts) -> &AtomicI64) -> Self {
        gauge(&metrics.0).fetch_add(1, Ordering::Relaxed);
        Self { metrics: metrics.clone(), gauge }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        (self.gauge)(&self.metrics.0).fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts what goes through a service. It stands outermost.
#[derive(Clone, Debug)]
pub struct Metered<S> {
    inner: S,
    metrics: Metrics,
}

impl<S> Metered<S> {
    /// Around this service.
    pub fn new(inner: S, metrics: Metrics) -> Self {
        Self { inner, metrics }
    }
}

impl<S> Service<Request<Body>> for Metered<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (held, metrics) = (self.metrics.request(), self.metrics.clone());
        let answering = self.inner.call(request);
        Box::pin(async move {
            Ok(metrics.counted(answering.await?).map(|body| Body::coming(Counted { body, _held: held })))
        })
    }
}

/// A body that is counted until its end.
struct Counted {
    body: Body,
    _held: Held,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_what_is_below_them() {
        let metrics = Metrics::default();
        for micros in [1, 1_000, 1_001, 40_000_000] {
            metrics.upstream_answered(Duration::from_micros(micros));
        }
        let text = metrics.text();
        for line in [
            "chio_http_upstream_seconds_bucket{le=\"0.001\"} 2",
            "chio_http_upstream_seconds_bucket{le=\"0.0025\"} 3",
            "chio_http_upstream_seconds_bucket{le=\"30\"} 3",
            "chio_http_upstream_seconds_bucket{le=\"+Inf\"} 4",
            "chio_http_upstream_seconds_count 4",
        ] {
            assert!(text.lines().any(|written| written == line), "{line}\n{text}");
        }
    }
}
