//! What the kernel tells a log: code, step, tool and duration; never a secret, a proof, a token or an argument.

use std::io::Write;
use std::sync::{Arc, Mutex};

use chio_tests::world::{
    self, ARGUMENTS, World, agent, body, call, call_with, docs_grant, honest, issue, terms, thief,
};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Whoever can send bytes could otherwise fill the disk on which the log is.
#[test]
fn a_stranger_writes_nothing_into_a_log_at_its_usual_level() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone()).finish();
    let kernel = World::new().kernel();
    let usual = issue(terms(vec![docs_grant()]));
    let stolen = |nonce: &str| call_with(&usual, ARGUMENTS, body(&usual, ARGUMENTS, nonce), &thief());
    let bare = || chio_kernel::SignedCall { proof: None, capability: b"[]".to_vec(), ..honest("a") };
    tracing::subscriber::with_default(subscriber, || {
        assert_eq!(world::code(&kernel, honest("a")), "");
        for (call, expected) in [
            (honest("a"), "nonce_replayed"),
            (stolen("b"), "proof_signature_invalid"),
            (bare(), "capability_malformed"),
        ] {
            assert_eq!(world::code(&kernel, call), expected);
        }
        assert_eq!(String::from_utf8_lossy(&log.0.lock().unwrap()), "");
        // A caller who is proven, and is denied, is told of.
        assert_eq!(world::code(&kernel, call(&usual, "{}", "c")), "argument_missing");
    });
    assert!(String::from_utf8_lossy(&log.0.lock().unwrap()).contains("argument_missing"));
}

#[test]
fn spans_have_code_step_tool_and_duration_and_no_secret() {
    const MARKER: &str = "s3cr3t-value";
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let world = World::new();
    let receipts = Arc::clone(&world.receipts);
    let arguments = format!(r#"{{"path":"/srv/docs/{MARKER}"}}"#);
    let outside = format!(r#"{{"path":"/{MARKER}"}}"#);
    let usual = issue(terms(vec![docs_grant()]));
    let nonce = format!("nonce-{MARKER}");
    let calls = vec![
        (call(&usual, &arguments, &nonce), ""),
        (call(&usual, &arguments, &nonce), "nonce_replayed"),
        (call(&usual, &outside, "b"), "argument_constraint_violated"),
        (call_with(&usual, &arguments, body(&usual, &arguments, "c"), &thief()), "proof_signature_invalid"),
        (
            chio_kernel::SignedCall { arguments: format!(r#"{{"{MARKER}":"#).into_bytes(), ..honest("d") },
            "malformed_call",
        ),
        (
            chio_kernel::SignedCall {
                proof: Some(format!(r#"{{"body":{{"nonce":["{MARKER}"]}}}}"#).into_bytes()),
                ..call(&usual, &arguments, "e")
            },
            "proof_malformed",
        ),
    ];
    let secrets: Vec<String> = calls
        .iter()
        .filter_map(|(call, _)| call.proof.as_ref())
        .filter_map(|proof| serde_json::from_slice::<serde_json::Value>(proof).ok())
        .filter_map(|proof| Some(proof["signature"].as_str()?.to_owned()))
        .chain([usual.leaf().signature.to_string(), MARKER.to_owned()])
        .collect();
    tracing::subscriber::with_default(subscriber, || {
        let kernel = world.kernel();
        for (call, expected) in calls {
            let answer = world::run(&kernel, call);
            let told = match &answer {
                Ok(_) => String::new(),
                Err(denied) => format!("{denied} {denied:?} {}", denied.denial.public()),
            };
            assert!(!told.contains(MARKER), "{told}");
            assert_eq!(answer.err().map_or("", |denied| denied.denial.code()), expected);
        }
    });
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for part in
        ["chio.call", "tool_server=", "tool_name=", "code=\"nonce_replayed\"", "step=\"proof.nonce\"", "micros="]
    {
        assert!(log.contains(part), "{part} in {log}");
    }
    let receipts: Vec<u8> = receipts.all().iter().flat_map(|receipt| receipt.to_line().unwrap()).collect();
    let receipts = String::from_utf8(receipts).unwrap();
    for secret in secrets {
        assert!(!log.contains(&secret), "a secret in the log: {log}");
        assert!(!receipts.contains(&secret), "a secret in a receipt");
    }
    assert!(!format!("{:?}", agent()).contains(&"02".repeat(8)));
}

#[test]
fn what_a_kernel_forgets_and_what_it_does_not_enforce_is_warned_of_when_it_is_built() {
    let warned = |change: fn(chio_kernel::KernelBuilder) -> chio_kernel::KernelBuilder| {
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone()).finish();
        tracing::subscriber::with_default(subscriber, || change(World::new().builder).build().unwrap());
        String::from_utf8(log.0.lock().unwrap().clone()).unwrap()
    };
    let usual = warned(|builder| builder);
    assert!(usual.contains("remembers in memory") && !usual.contains("not enforced"), "{usual}");
    let strict = warned(|builder| builder.mode(world::SERVER, chio_kernel::config::Mode::Enforce));
    assert!(!strict.contains("not enforced"), "{strict}");
    let lax = warned(|builder| builder.mode(world::SERVER, chio_kernel::config::Mode::Report));
    assert!(lax.contains("denials are not enforced") && lax.contains("report"), "{lax}");
    let kept = warned(|builder| {
        let nonces = std::sync::Arc::new(Kept);
        builder.stores(chio_kernel::Stores { nonces: Some(nonces), ..chio_kernel::Stores::default() })
    });
    assert!(!kept.contains("remembers in memory"), "{kept}");
}

/// A nonce store that survives a restart.
struct Kept;

impl chio_kernel::store::NonceStore for Kept {
    fn spend(
        &self,
        _: chio_kernel::store::NonceClaim,
    ) -> chio_kernel::store::BoxFuture<'_, Result<chio_kernel::store::NonceAnswer, chio_kernel::store::KernelError>>
    {
        Box::pin(std::future::ready(Ok(chio_kernel::store::NonceAnswer::Spent)))
    }
    fn survives_restart(&self) -> bool {
        true
    }
}
