//! What operators are told, and what they are not.

use std::future::{pending, ready};
use std::sync::Arc;

use chio_core::capability::{Grant, Terms};
use chio_core::digest::Arguments;
use chio_kernel::config::TrustRoot;
use chio_kernel::store::{BoxFuture, KernelError, NonceAnswer, NonceClaim, NonceStore};
use chio_kernel::tool_server::{ToolFailure, ToolRequest, ToolServer as _};
use chio_kernel::{Denial, Kernel, Stores};
use chio_tests::world::{self, NOW, SERVER, TOOL, World, docs_grant, honest, issue, issuer, run, terms};
use serde_json::json;

struct Fails(fn() -> BoxFuture<'static, Result<NonceAnswer, KernelError>>);

impl NonceStore for Fails {
    fn spend(&self, _: NonceClaim) -> BoxFuture<'_, Result<NonceAnswer, KernelError>> {
        (self.0)()
    }
    fn survives_restart(&self) -> bool {
        true
    }
}

#[test]
fn how_a_store_failed() {
    type Fail = fn() -> BoxFuture<'static, Result<NonceAnswer, KernelError>>;
    let fails: [(Fail, &str); 3] = [
        (|| Box::pin(ready(Err(KernelError::new("the disk is full")))), "the disk is full"),
        (|| panic!("on purpose"), "panicked"),
        (|| Box::pin(pending()), "did not answer in time"),
    ];
    for (fail, told) in fails {
        let kernel = World::with_stores(Stores { nonces: Some(Arc::new(Fails(fail))), ..Stores::default() }).kernel();
        let denied = run(&kernel, honest("n")).unwrap_err();
        assert_eq!(denied.to_string(), format!("store_unavailable: the nonce store: {told}"));
    }
}

#[test]
fn of_several_grants_the_first_that_names_the_tool() {
    let range = |pointer: &str| {
        Grant::new(SERVER, TOOL).argument(pointer, &json!({"constraint_type": "range", "min": 1})).unwrap()
    };
    let chain = issue(terms(vec![Grant::new(SERVER, "another"), range("/first"), range("/second")]));
    let denied = run(&World::new().kernel(), world::call(&chain, "{}", "n")).unwrap_err();
    assert_eq!(denied.denial, Denial::ArgumentMissing { token: 0, pointer: "/first".into() });
}

#[test]
fn why_a_tool_server_has_no_result() {
    for (failure, told) in [
        (ToolFailure::NotReached("it is closed".into()), "the tool server was not reached: it is closed"),
        (ToolFailure::Tool("no such file".into()), "no such file"),
        (ToolFailure::Failed("it panicked".into()), "the tool server failed: it panicked"),
        (ToolFailure::TimedOut, "the tool server did not answer in time"),
    ] {
        assert_eq!(failure.to_string(), told);
    }
}

#[test]
fn why_a_kernel_cannot_be_built() {
    let root = issuer().public_key();
    let twice = World::new().builder.trust_root(root.clone()).build().unwrap_err();
    assert_eq!(twice.to_string(), format!("{root} is a trust root twice"));
    let servers = World::new().builder.tool_server(SERVER, world::echo()).build().unwrap_err();
    assert!(servers.to_string().contains(SERVER), "{servers}");
    let clock = World::new().builder.clock(chio_kernel::clock::ManualClock::at(u64::MAX)).build().unwrap_err();
    assert_eq!(clock.to_string(), "the clock cannot be read");
}

#[test]
fn a_directory_has_its_own_tools_and_no_others() {
    let directory = tempfile::tempdir().unwrap();
    let files = chio_kernel::files::FileServer::new(directory.path()).unwrap();
    assert!(files.has_tool("read_file") && !files.has_tool("write_file"));
    std::fs::write(directory.path().join("a.txt"), "text").unwrap();
    let path = directory.path().join("a.txt");
    let arguments = Arguments::from_value(&json!({"path": path})).unwrap();
    let call = |tool_name| {
        pollster::block_on(files.call(ToolRequest { tool_name, arguments: &arguments, principal: "someone" }))
    };
    assert!(call("read_file").is_ok());
    assert_eq!(call("write_file"), Err(ToolFailure::NotReached("there is no such tool".into())));
}

#[test]
fn which_ceiling_was_exceeded() {
    let of = |ceiling, max_lifetime_secs| {
        let root = TrustRoot { ceiling, max_lifetime_secs, ..issuer().public_key().into() };
        let clock = chio_kernel::clock::ManualClock::at(NOW - 100_000);
        let builder = Kernel::builder().trust_root(root).tool_server(SERVER, world::echo()).clock(clock.clone());
        let kernel = builder.build().unwrap();
        clock.set(NOW);
        run(&kernel, honest("n")).unwrap_err().denial
    };
    let lifetime = of(None, Some(60));
    assert!(lifetime.to_string().ends_with("a life of more than 60 s"), "{lifetime}");
    let grants = of(Some(vec![Grant::new(SERVER, "another")]), None);
    assert!(
        matches!(grants, Denial::RootCeilingExceeded { .. }) && grants.to_string().ends_with(": this call"),
        "{grants}"
    );
    assert_ne!(lifetime.step(), grants.step());
}

#[test]
fn nothing_that_is_printed_for_debugging_has_a_secret() {
    let call = honest("s3cr3t-nonce");
    let kernel = World::new().kernel();
    let signature = chio_core::dpop::DpopProof::parse(call.proof.as_ref().unwrap()).unwrap().signature;
    assert_eq!(format!("{kernel:?}"), "Kernel");
    assert_eq!(format!("{call:?}"), "SignedCall(files/read_file)");
    assert_eq!(format!("{signature:?}"), "Signature(ed25519)");
    assert_eq!(format!("{:?}", issuer().public_key()), issuer().public_key().to_string());
    let chain = issue(Terms { audience: None, ..terms(vec![docs_grant()]) });
    assert!(!format!("{chain:?}").contains("signature: \""));
}
