//! Running the real `chio` as a stranger would: by its words, in a directory of one's own.
//!
//! Every run is checked for what must never be: a panic, a backtrace, a secret, a temporary file.
#![allow(dead_code)] // each of the test binaries uses its part

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// A value of an argument that must not be told to anybody but on standard output.
pub const MARKER: &str = "s3cr3t-value";

/// The call of most tests.
pub const READ: &str = r#"--tool files/read_file --arguments {"path":"/docs/a.md"}"#;

/// What is granted of it.
pub const GRANTS: &str = r#"[{"tool_server":"files","tool_name":"read_file",
  "arguments":{"/path":{"constraint_type":"path_containment","root":"/docs"}}}]"#;

/// The command, built for this run of the tests.
pub fn chio() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        // `target/debug`, of `target/debug/deps/cli-…`.
        let profile = test.parent().and_then(Path::parent).unwrap();
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(chio_tests::repository());
        cargo.args(["build", "-q", "-p", "chio_cli", "--bin", "chio", "--target-dir"]);
        cargo.arg(profile.parent().unwrap());
        chio_tests::not_told(&mut cargo);
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        if chio_core::crypto::NIST_PROVIDER == "AWS-LC" {
            cargo.args(["--features", "chio_cli/aws-lc"]);
        }
        assert!(cargo.status().unwrap().success(), "chio does not build");
        profile.join("chio")
    })
}

/// What is in a directory: the mode and the bytes of each file.
pub type Files = BTreeMap<String, (u32, Vec<u8>)>;

/// A directory of its own, removed at the end.
pub struct Place(TempDir);

impl Place {
    pub fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With the keys of an issuer, an agent and a kernel, a directory to serve, a capability, a proof, a signed call,
    /// and receipts; all of them made by `chio`.
    pub fn furnished() -> Self {
        let place = Self::empty();
        for name in ["issuer", "agent", "kernel"] {
            place.chio(&format!("keygen --out {name}.key")).done();
        }
        place.write("docs/a.md", "hello\n");
        place.write("grants.json", GRANTS);
        place.write("arguments.json", r#"{"path":"/docs/a.md"}"#);
        place.chio("issue --key issuer.key --subject agent.key --grants grants.json --out agent.cap").done();
        let proof = place.chio(&format!("sign --key agent.key --capability agent.cap {READ}"));
        place.write("proof.json", proof.done());
        let call = place.chio(&format!("sign --whole --key agent.key --capability agent.cap {READ}"));
        place.write("call.json", call.done());
        let called = format!("call --key agent.key --root issuer.key --capability agent.cap {READ}");
        let kept = "--files docs --mount /docs --kernel-key kernel.key --receipts receipts.jsonl";
        place.chio(&format!("{called} {kept}")).done();
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, contents).unwrap();
        self.set_mode(name, 0o644);
    }

    /// A file that none but its owner can read.
    pub fn write_private(&self, name: &str, contents: impl AsRef<[u8]>) {
        self.write(name, contents);
        self.set_mode(name, 0o600);
    }

    pub fn mode(&self, name: &str) -> u32 {
        self.path(name).metadata().unwrap().permissions().mode() & 0o777
    }

    pub fn set_mode(&self, name: &str, mode: u32) {
        std::fs::set_permissions(self.path(name), PermissionsExt::from_mode(mode)).unwrap();
    }

    /// The public key in the file of a private one.
    pub fn public_key(&self, name: &str) -> String {
        let shown = self.chio(&format!("--json inspect {name}")).json();
        shown["document"]["public_key"].as_str().unwrap().to_owned()
    }

    /// All files, those in directories too.
    pub fn files(&self) -> Files {
        fn collect(root: &Path, at: &Path, files: &mut Files) {
            for entry in std::fs::read_dir(at).unwrap() {
                let entry = entry.unwrap();
                let metadata = entry.metadata().unwrap();
                if metadata.is_dir() {
                    collect(root, &entry.path(), files);
                    continue;
                }
                let name = entry.path().strip_prefix(root).unwrap().to_string_lossy().into_owned();
                let bytes = std::fs::read(entry.path()).unwrap_or_default();
                files.insert(name, (metadata.permissions().mode() & 0o777, bytes));
            }
        }
        let mut files = Files::new();
        collect(self.0.path(), self.0.path(), &mut files);
        files
    }

    /// A command that runs here.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.0.path()).env("RUST_BACKTRACE", "1").env_remove("CLICOLOR_FORCE");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs `chio` with words that have no spaces in them.
    pub fn chio(&self, words: &str) -> Run {
        self.run(self.command(chio()).args(words.split_whitespace()), b"")
    }

    /// The same with something on standard input.
    pub fn chio_given(&self, input: impl AsRef<[u8]>, words: &str) -> Run {
        let mut command = self.command(chio());
        self.run(command.args(words.split_whitespace()).stdin(Stdio::piped()), input.as_ref())
    }

    /// Runs a command that is `chio`, or ends as `chio`.
    pub fn run(&self, command: &mut Command, input: &[u8]) -> Run {
        let before = self.files();
        let started = Instant::now();
        let mut child = command.spawn().unwrap();
        if let Some(mut stdin) = child.stdin.take() {
            // Whoever refuses it early does not read it all.
            let _ = stdin.write_all(input);
        }
        let output = child.wait_with_output().unwrap();
        let after = self.files();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let changed = before.keys().chain(after.keys()).filter(|name| before.get(*name) != after.get(*name));
        let mut changed: Vec<String> = changed.cloned().collect();
        changed.sort();
        changed.dedup();
        let run = Run {
            words: command.get_args().map(|word| word.to_string_lossy().into_owned()).collect(),
            code: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
            changed,
            took: started.elapsed(),
        };
        run.check_what_must_never_be();
        for secret in before.values().chain(after.values()).map(|(_, bytes)| bytes.as_slice()).chain([input]) {
            run.check_that_it_keeps(&String::from_utf8_lossy(secret));
        }
        run
    }
}

/// What came of a command.
#[derive(Debug)]
pub struct Run {
    pub words: Vec<String>,
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    /// The files that are new, changed or gone.
    pub changed: Vec<String>,
    pub took: Duration,
}

impl Run {
    fn check_what_must_never_be(&self) {
        assert!((0..=3).contains(&self.code), "{self:#?}");
        for words in ["panicked", "backtrace", "RUST_", "src/main.rs"] {
            assert!(!self.stderr.contains(words), "{self:#?}");
        }
        assert!(!self.stderr.contains(MARKER), "an argument was told: {self:#?}");
        let may_repeat = |word: &String| ["call", "inspect", "--whole"].contains(&word.as_str());
        assert!(self.words.iter().any(may_repeat) || !self.stdout.contains(MARKER), "{self:#?}");
        assert!(!self.changed.iter().any(|name| name.contains(".tmp")), "{self:#?}");
        if self.code == 0 || self.code == 3 {
            let is_warning =
                |line: &str| ["warning: ", " help: ", "{\"help\":"].iter().any(|start| line.starts_with(start));
            assert!(self.stderr.lines().all(is_warning), "{self:#?}");
        }
    }

    /// No line of the private key that is in the text.
    fn check_that_it_keeps(&self, text: &str) {
        let Some((_, key)) = text.split_once("PRIVATE KEY-----") else { return };
        for line in key.lines().filter(|line| line.len() >= 16 && !line.starts_with('-')) {
            assert!(!self.stdout.contains(line) && !self.stderr.contains(line), "a key was told: {self:#?}");
        }
    }

    /// It was done or allowed: the output.
    pub fn done(&self) -> &str {
        assert_eq!(self.code, 0, "{self:#?}");
        &self.stdout
    }

    /// The call was denied: the output.
    pub fn denied(&self) -> &str {
        assert_eq!(self.code, 3, "{self:#?}");
        &self.stdout
    }

    /// The output is one JSON value on a line.
    pub fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "{self:#?}");
        assert!(self.stdout.ends_with('\n'), "{self:#?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// It failed, saying so in one error with its help, and left everything as it was. What is told has these words;
    /// `…` is where others may be.
    pub fn failed(&self, what: &str) -> &Self {
        self.told(1, what)
    }

    /// The same for a wrong command line.
    pub fn misused(&self, what: &str) -> &Self {
        self.told(2, what)
    }

    fn told(&self, code: i32, what: &str) -> &Self {
        assert_eq!((self.code, self.stdout.as_str()), (code, ""), "{self:#?}");
        assert!(self.changed.is_empty(), "left behind: {self:#?}");
        let (error, help) = self.error_and_help();
        let is_told = |part: &str| error.contains(part) || help.contains(part);
        assert!(what.split('…').all(is_told), "no `{what}` in {self:#?}");
        self
    }

    /// The one error on standard error, as text or as JSON.
    pub fn error_and_help(&self) -> (String, String) {
        if self.words.iter().any(|word| word == "--json") {
            let value: Value = serde_json::from_str(&self.stderr).unwrap_or_else(|error| panic!("{error}: {self:#?}"));
            let members: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(members, ["error", "help", "what"], "{self:#?}");
            let code = if self.code == 2 { "usage" } else { "failed" };
            assert_eq!(value["error"], code, "{self:#?}");
            let text = |name: &str| value[name].as_str().unwrap().to_owned();
            return (text("what"), text("help"));
        }
        let Some(("", text)) = self.stderr.split_once("error: ") else { panic!("no error: {self:#?}") };
        let Some((error, help)) = text.split_once("\n help: ") else { panic!("no help: {self:#?}") };
        let Some((help, "")) = help.split_once('\n') else { panic!("more than one help: {self:#?}") };
        assert!(!error.contains('\n') && !error.is_empty() && !help.is_empty(), "{self:#?}");
        (error.to_owned(), help.to_owned())
    }
}

/// Runs openssl. None where it is not there; then it is printed that the test is skipped.
pub fn openssl(place: &Place, words: &str) -> Option<String> {
    match place.command("openssl").args(words.split_whitespace()).output() {
        Ok(output) => {
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "openssl {words}: {told}");
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(error) => {
            println!("skipped: openssl cannot be run: {error}");
            None
        }
    }
}
