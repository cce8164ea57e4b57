//! `chio session`

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use chio_core::digest::Digest;
use chio_http::opaque::accounts::OpenSession;
use chio_http::opaque::{Accounts, Invitation, Setup, User};
use chio_kernel::store::{BoxFuture, KernelError, RevocationStore};
use chio_store::{Page, Record, Revoked, State};
use serde_json::{Value, json};

use super::at;
use crate::args::{Session, SessionInvite, SessionList, SessionRevoke, SessionSetup, StateName};
use crate::exit::{Exit, Failure, printable};
use crate::print::{BOLD, DIM, GREEN, Printer, RESET, time};
use crate::state::{ask, beside};
use crate::write::{self, Audience};

pub(crate) fn run(args: &Session, printer: &Printer) -> Result<Exit, Failure> {
    match args {
        Session::Setup(args) => setup(args, printer),
        Session::Invite(args) => invite(args, printer),
        Session::List(args) => list(args, printer),
        Session::Revoke(args) => revoke(args, printer),
    }
}

fn setup(args: &SessionSetup, printer: &Printer) -> Result<Exit, Failure> {
    if args.out == Path::new("-") {
        return Err(Failure::usage("a setup is not printed", "name a file: --out session.setup"));
    }
    let text = Setup::generate();
    // Another in its place would end every account: it is never overwritten.
    write::write(&args.out, format!("{}\n", *text).as_bytes(), Audience::Owner, false)?;
    let file = args.out.display();
    let told = format!("{GREEN}ok{RESET}     {file}\n{DIM}Keep a copy: without it, no account can log in.{RESET}\n");
    printer.answer(&json!({"setup_file": args.out.to_string_lossy()}), &told)?;
    Ok(Exit::Done)
}

/// A state in which sessions are revoked by hand.
struct ByHand(Arc<dyn State>, u64);

impl RevocationStore for ByHand {
    fn first_revoked<'a>(&'a self, _: &'a [Digest]) -> BoxFuture<'a, Result<Option<usize>, KernelError>> {
        Box::pin(std::future::ready(Err(KernelError::new("this is for kernels to ask"))))
    }

    fn revoke(&self, id: Digest) -> BoxFuture<'_, Result<(), KernelError>> {
        let what = Revoked::Capability(id.to_string()).to_string();
        self.0.put(vec![Record::Revocation { id, what, at: self.1 }])
    }
}

fn accounts(name: &StateName, now: u64) -> Result<Accounts, Failure> {
    let state: Arc<dyn State> = Arc::from(beside(name, now)?);
    Ok(Accounts::new(Arc::clone(&state).into_entries(), Arc::new(ByHand(state, now))))
}

fn user(text: &str) -> Result<User, Failure> {
    let help = "a name is 1 to 128 bytes: ASCII without spaces, and letters and digits of any script";
    User::parse(text).ok_or_else(|| Failure::usage("this is no name of a user", help))
}

fn invite(args: &SessionInvite, printer: &Printer) -> Result<Exit, Failure> {
    let (user, now) = (user(&args.user)?, at(None)?);
    let until = now.saturating_add(args.life);
    let invitation = Invitation { user, scope: args.scope.clone(), replaces: args.replace, until };
    let code = pollster::block_on(accounts(&args.state, now)?.invite(&invitation, now));
    let code = code.map_err(|error| Failure::new(error, "a scope is names with single spaces between them"))?;
    let text = format!("{BOLD}{code}{RESET}\n{DIM}It counts once, until {}.{RESET}\n", time(until));
    printer.answer(&json!({"invitation": code, "until": until}), &text)?;
    Ok(Exit::Done)
}

fn list(args: &SessionList, printer: &Printer) -> Result<Exit, Failure> {
    let (accounts, now) = (accounts(&args.state, at(None)?)?, at(None)?);
    let user = args.user.as_deref().map(user).transpose()?;
    let (mut all, mut text, mut from) = (Vec::<Value>::new(), String::new(), None);
    loop {
        let Page { items, next } = ask(accounts.sessions(user.as_ref(), from, now))?;
        for OpenSession { id, user, scope, opened_at, expires_at } in items {
            let scopes = printable(scope.as_deref().unwrap_or("-"));
            let _ = writeln!(text, "{id}  {}  until {}  {scopes}", printable(&user), time(expires_at));
            all.push(json!({
                "id": id, "user": user, "scope": scope, "opened_at": opened_at, "expires_at": expires_at,
            }));
        }
        if next.is_none() {
            break;
        }
        from = next;
    }
    if all.is_empty() {
        text.push_str("no session is open\n");
    }
    printer.answer(&json!({ "sessions": all }), &text)?;
    Ok(Exit::Done)
}

fn revoke(args: &SessionRevoke, printer: &Printer) -> Result<Exit, Failure> {
    let now = at(None)?;
    let id = |text: &String| {
        text.parse::<Digest>().map_err(|_| Failure::usage("this is no session", "`chio session list` names them"))
    };
    let ids = args.id.iter().map(id).collect::<Result<Vec<_>, Failure>>()?;
    let user = args.user.as_deref().map(user).transpose()?;
    let accounts = accounts(&args.state, now)?;
    let mut ended = 0_u64;
    for id in ids {
        ended = ended.saturating_add(u64::from(ask(accounts.end(id, now))?));
    }
    if let Some(user) = user {
        ended = ended.saturating_add(ask(accounts.end_all(&user, now))?);
    }
    printer.answer(&json!({ "ended": ended }), &format!("{GREEN}ok{RESET}     {ended} ended\n"))?;
    Ok(Exit::Done)
}
