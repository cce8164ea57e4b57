//! `chio http register` and `login` at a terminal.

use std::io::Write as _;
use std::process::Stdio;

use crate::common::{Place, chio};
use crate::sealed::Site;

/// What a person sees at a terminal who is asked for passwords, and with which status that ends.
fn typed(place: &Place, words: &str, lines: &str) -> (i32, String) {
    let mut typed = place.command("python3");
    typed.arg(chio_tests::repository().join("tests/peers/typed.py")).arg(chio()).args(words.split(' '));
    let mut typed = typed.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    typed.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = typed.wait_with_output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_asks_for_the_password_and_does_not_show_it() {
    let site = Site::start().await;
    let place = &site.place;
    let user = format!("--url {} --user bob", site.origin);
    let (code, seen) = typed(place, &format!("http register {user}"), "a slip of bob\na slip of bobs\n");
    assert!(code == 1 && seen.contains("not the same") && !seen.contains("slip"), "{code} {seen}");
    let (code, seen) = typed(place, &format!("http register {user}"), "a word of bob\na word of bob\n");
    assert!(code == 0 && seen.contains("Password of bob: ") && seen.contains("registered"), "{code} {seen}");
    assert!(!seen.contains("a word"), "{seen}");
    let login = format!("http login {user} --out bob.session");
    let (code, seen) = typed(place, &login, "\n");
    assert!(code != 0 && seen.contains("no password"), "{code} {seen}");
    // Ended by the signal, as the shell is told.
    let (code, seen) = typed(place, &login, "^C\n");
    assert!(code == 256 - 2 && seen.ends_with("Password of bob: \r\n"), "{code} {seen:?}");
    let (code, seen) = typed(place, &login, "a word of bob\n");
    assert!(code == 0 && seen.contains("until") && !seen.contains("a word"), "{code} {seen}");
}
