//! The rollout of `chio gateway`: reloaded by a signal, wrong or not, and what its receipts are made into.

use std::io::{BufRead as _, Read as _};

use rustix::process::{Pid, Signal, kill_process};

use crate::command::Running;
use crate::common::Place;
use crate::harness::{Client, OK, recorder, status, values};

const START: &str = "[listen]\naddress = \"127.0.0.1:0\"\norigin = \"https://api.example\"\n\
                     [kernel]\nstate = \"gateway.db\"\n[[rfc9449.issuer]]\niss = \"https://oauth.example\"\n\
                     aud = \"https://api.example\"\njwks_file = \"jwks.json\"\n[[route]]\ntool = \"GET:/orders/:id\"\n\
                     [[route]]\ntool = \"GET:/about\"\npublic = true\n";

fn rule(more: &str) -> String {
    format!("[[rollout.rule]]\n{more}\n")
}

struct World {
    place: Place,
    upstream: String,
}

impl World {
    async fn new() -> Self {
        let (behind, _) = recorder(OK).await;
        let place = Place::empty();
        place.chio("keygen --out oauth.key").done();
        place.write("jwks.json", place.chio("http jwks oauth.key").stdout);
        Self { place, upstream: format!("[upstream]\nurl = \"http://{behind}\"\n") }
    }

    fn write(&self, rollout: &str) {
        self.place.write("gateway.toml", format!("{START}{}{rollout}", self.upstream));
    }
}

impl Running {
    /// Waits until it says something.
    fn says(&mut self, what: &str) -> String {
        let mut lines = self.told.by_ref().lines().map_while(Result::ok);
        lines.find(|line| line.contains(what)).unwrap_or_else(|| panic!("it says `{what}`"))
    }

    /// Has it read its file again, and waits until it has: what it says on the way, the last of which is what came of it.
    fn reloads(&mut self) -> String {
        kill_process(Pid::from_child(&self.child), Signal::HUP).unwrap();
        let mut told = String::new();
        for line in self.told.by_ref().lines().map_while(Result::ok) {
            told += &format!("{line}\n");
            if line.contains("nothing was changed") || line.contains("the rollout was read again") {
                return told;
            }
        }
        panic!("it has ended: {told}")
    }
}

async fn ask(gateway: std::net::SocketAddr, headers: &str) -> u16 {
    let mut client = Client(tokio::net::TcpStream::connect(gateway).await.unwrap());
    client.write(&format!("GET /orders/1 HTTP/1.1\r\nHost: api.example\r\nConnection: close\r\n{headers}\r\n")).await;
    let answer = client.rest().await;
    assert!(values(&answer, "chio-receipt").is_empty());
    status(&answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_read_again_and_wrong_ones_change_nothing() {
    let world = World::new().await;
    world.write(&rule("mode = \"report\"\nroute = \"GET:/orders/:id\""));
    let mut running = Running::start(&world.place);
    running.says("not enforced: report: route GET:/orders/:id");
    let gateway = running.next("listening");
    for _ in 0..3 {
        assert_eq!(ask(gateway, "").await, 200);
    }
    assert_eq!(ask(gateway, "Authorization: DPoP a.b.c\r\n").await, 200);
    // Enforced, by a signal.
    world.write("");
    assert!(running.reloads().contains("was read again"));
    assert_eq!(ask(gateway, "").await, 401);
    // What is wrong changes nothing, and is told with its place.
    for wrong in ["mode = \"off\"\nscheme = \"none\"", "mode = \"lax\"", "mode = \"off\"\nroute = \"GET:/other\""] {
        world.write(&rule(wrong));
        let said = running.reloads();
        assert!(said.contains("nothing was changed") && said.contains("line 1") && said.contains("column "), "{said}");
        assert_eq!(ask(gateway, "").await, 401);
    }
    // What takes a restart is named, and does not come by the back door.
    let text = format!("{START}{}{}", world.upstream, rule("mode = \"off\"\nscheme = \"rfc9449\""));
    world
        .place
        .write("gateway.toml", text.replace("tool = \"GET:/orders/:id\"", "tool = \"GET:/orders/:id\"\npublic = true"));
    let said = running.reloads();
    for what in ["`route` is another", "not enforced: off: scheme rfc9449", "was read again"] {
        assert!(said.contains(what), "{said}");
    }
    assert_eq!((ask(gateway, "").await, ask(gateway, "Authorization: DPoP a.b.c\r\n").await), (401, 200));
    // Rules are for the routes that there are, and the mode where there is none is that of the start.
    let renamed = |text: &str| text.replace("/orders/:id", "/orders/:order");
    world
        .place
        .write("gateway.toml", renamed(&format!("{text}{}", rule("mode = \"report\"\nroute = \"GET:/orders/:id\""))));
    let said = running.reloads();
    assert!(said.contains("`route` is another") && said.contains("the route `GET:/orders/:order` is none"), "{said}");
    world.place.write("gateway.toml", text.replace("[kernel]\n", "[kernel]\nmode = \"off\"\n"));
    let said = running.reloads();
    assert!(said.contains("`kernel` is another") && said.contains("was read again"), "{said}");
    assert_eq!((ask(gateway, "").await, ask(gateway, "Authorization: DPoP a.b.c\r\n").await), (401, 200));
    drop(running);

    let report = world.place.chio("gateway report --state gateway.db --json").json();
    let rows = report["rows"].as_array().unwrap();
    let row = |code: &str| rows.iter().find(|row| row["code"] == code).map(|row| row["count"].as_u64().unwrap());
    assert_eq!((row("proof_missing"), rows.len()), (Some(3), 2), "{report}");
    assert_eq!(report["would_be_denied"], 4);
    assert_eq!(report["decisions"]["report"], 4);
    assert_eq!((&report["decisions"]["off"], &report["decisions"]["enforce"]), (&2.into(), &6.into()));
    let later = world.place.chio("gateway report --state gateway.db --since 2100-01-01 --json").json();
    assert_eq!((later["rows"].as_array().unwrap().len(), &later["receipts"]), (0, &report["receipts"]));

    // The same from a file, and nothing from one that does not hold.
    let lines = world.place.chio("state receipts gateway.db").stdout;
    world.place.write("receipts", &lines);
    assert_eq!(world.place.chio("gateway report --receipts receipts --json").json(), report);
    let text = world.place.chio("gateway report --receipts receipts");
    assert!(text.stdout.contains("4 of 4 requests in the mode `report` would have been denied"), "{}", text.stdout);
    let without: String = lines.lines().skip(1).map(|line| format!("{line}\n")).collect();
    world.place.write("receipts", without);
    world.place.chio("gateway report --receipts receipts").failed("is missing…do not rely on these receipts");
    world.place.write("receipts", lines.replace("proof_missing", "proof_expired"));
    world.place.chio("gateway report --receipts receipts").failed("do not rely on these receipts");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_is_checked_with_its_rules() {
    let world = World::new().await;
    let check = || world.place.chio("gateway --config gateway.toml --check");
    let checked = || world.place.chio("gateway --config gateway.toml --check --json").json();
    world.write(&(rule("mode = \"report\"\nenvironment = \"test\"") + &rule("mode = \"off\"\nscheme = \"rfc9449\"")));
    check().failed("line 17, column 1…in which environment…CHIO_ENVIRONMENT");
    world.write(&format!("[rollout]\nenvironment = \"live\"\n{}", rule("mode = \"off\"\nscheme = \"rfc9449\"")));
    assert_eq!(checked()["not_enforced"], serde_json::json!(["off: scheme rfc9449"]));
    for (wrong, what) in [
        ("mode = \"off\"\nscheme = \"session\"", "line 17, column 1…no scheme `session`"),
        ("mode = \"off\"\nroute = \"GET:/about\"", "is open to everybody"),
        ("mode = \"off\"\n[[rollout.rule]]\nmode = \"report\"\nscheme = \"rfc9449\"", "line 19, column 1…never counts"),
    ] {
        world.write(&rule(wrong));
        check().failed(what);
    }
    world.place.chio("gateway report").misused("--state");
}
