//! The server as its callers see it, on real directories.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

/// A directory `inside` that is served as `/docs`, and beside it one `outside` with a secret in it.
struct Site {
    temp: TempDir,
    server: Files,
}

impl Site {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("inside/a.md", "Grüße\nneedle one\r\n"),
            ("inside/sub/b.md", "needle two"),
            ("outside/secret.md", "SECRET needle"),
            ("outside/sub/secret.md", "SECRET needle"),
        ] {
            let file = temp.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let server = Files::mounted(temp.path().join("inside"), "/docs").unwrap();
        Self { temp, server }
    }

    fn inside(&self, name: &str) -> PathBuf {
        self.temp.path().join("inside").join(name)
    }

    fn ask(&self, tool: &str, arguments: &Value) -> Result<Value, String> {
        ask(&self.server, tool, arguments).inspect_err(|why| {
            assert!(!why.contains(self.temp.path().to_str().unwrap()), "{why}");
        })
    }

    fn read(&self, path: &str) -> Result<String, String> {
        Ok(self.ask("read_file", &json!({"path": path}))?["text"].as_str().unwrap().to_owned())
    }

    fn search(&self, query: &str) -> Value {
        self.ask("search", &json!({"path": "/docs", "query": query})).unwrap()
    }
}

fn ask(server: &Files, tool: &str, arguments: &Value) -> Result<Value, String> {
    let arguments = Arguments::from_value(arguments).unwrap();
    server.call(tool, &arguments).map(|json| serde_json::to_value(json).unwrap())
}

#[test]
fn each_tool_does_what_it_says() {
    let site = Site::new();
    symlink("a.md", site.inside("link")).unwrap();
    let list = json!({"truncated": false, "entries": [
        {"name": "a.md", "kind": "file", "bytes": 20},
        {"name": "link", "kind": "symlink"},
        {"name": "sub", "kind": "directory"},
    ]});
    for path in ["/docs", "/docs/"] {
        assert_eq!(site.ask("list_files", &json!({"path": path})), Ok(list.clone()));
    }
    let text = json!({"path": "/docs/a.md", "text": "Grüße\nneedle one\r\n", "bytes": 20, "truncated": false});
    assert_eq!(site.ask("read_file", &json!({"path": "/docs/a.md"})), Ok(text));
    let found = json!({"truncated": false, "matches": [
        {"path": "/docs/a.md", "line": 2, "text": "needle one"},
        {"path": "/docs/sub/b.md", "line": 1, "text": "needle two"},
    ]});
    assert_eq!(site.search("needle"), found);
    assert_eq!(site.search("Needle"), json!({"matches": [], "truncated": false}));
    assert!(["list_files", "read_file", "search"].iter().all(|tool| Files::has_tool(tool)));
    assert!(!Files::has_tool("write_file"));
    let unknown = ask(&site.server, "write_file", &json!({}));
    assert_eq!(unknown, Err("there is no such tool".into()));
}

#[test]
fn a_directory_has_its_own_name_another_or_the_root_s() {
    let site = Site::new();
    let real = fs::canonicalize(site.inside("")).unwrap();
    symlink(&real, site.temp.path().join("alias")).unwrap();
    let server = Files::new(site.temp.path().join("alias")).unwrap();
    let path = format!("{}/a.md", real.display());
    assert_eq!(ask(&server, "read_file", &json!({"path": path})).unwrap()["path"], json!(path));
    let server = Files::mounted(&real, "/").unwrap();
    let found = ask(&server, "search", &json!({"path": "/", "query": "two"})).unwrap();
    assert_eq!(found["matches"][0]["path"], json!("/sub/b.md"));
    assert_eq!(ask(&server, "read_file", &json!({"path": "/a.md"})).unwrap()["bytes"], json!(20));
    for (root, mount, why) in [
        (real.join("a.md"), "/docs", "Not a directory"),
        (real.join("none"), "/docs", "No such file"),
        (real.clone(), "docs", "not an absolute path"),
        (real.clone(), "/docs/..", "not an absolute path"),
        (real.clone(), "", "not an absolute path"),
    ] {
        let error = Files::mounted(&root, mount).unwrap_err().to_string();
        assert!(error.contains(why) && error.contains(root.to_str().unwrap()), "{error}");
    }
    assert!(Files::new(real.join("none")).unwrap_err().to_string().contains("none"));
}

#[test]
fn paths_that_are_not_below_the_mount_are_refused() {
    let site = Site::new();
    for path in [
        "",
        "/",
        "a.md",
        "docs/a.md",
        "./a.md",
        "/docsa.md",
        "/docs2/a.md",
        "/doc",
        "/etc/passwd",
        "/Docs/a.md",
        "/docs/../outside/secret.md",
        "/docs/..",
        "/docs/sub/../a.md",
        "/docs/./a.md",
        "/docs//a.md",
        "//docs/a.md",
        "/docs/a.md//",
        "/docs/a.md\0",
        "/docs/sub\\b.md",
        "/docs\\a.md",
        "/docs/.",
    ] {
        for tool in ["list_files", "read_file", "search"] {
            let mut arguments = json!({"path": path});
            if tool == "search" {
                arguments["query"] = json!("needle");
            }
            let why = site.ask(tool, &arguments).unwrap_err();
            assert!(why.contains("is not an absolute path") || why.contains("is not below `/docs/`"), "{why}");
        }
    }
    let long = site.read(&format!("/docs/{}\u{1b}", "a".repeat(100_000))).unwrap_err();
    assert!(long.len() < 150, "{long}");
}

#[test]
fn arguments_have_their_members_and_no_others() {
    let site = Site::new();
    for (tool, arguments) in [
        ("list_files", json!({})),
        ("list_files", json!({"path": "/docs", "depth": 1})),
        ("list_files", json!({"path": ["/docs"]})),
        ("list_files", json!({"path": "/docs", "limit": 0})),
        ("list_files", json!({"path": "/docs", "limit": 10_001})),
        ("list_files", json!({"path": "/docs", "limit": 1.5})),
        ("list_files", json!({"path": "/docs", "limit": -1})),
        ("read_file", json!({"path": "/docs/a.md", "mode": "w"})),
        ("read_file", json!({"path": "/docs/a.md", "offset": -1})),
        ("read_file", json!({"path": "/docs/a.md", "limit": 0})),
        ("read_file", json!({"path": "/docs/a.md", "limit": (1 << 20) + 1})),
        ("search", json!({"path": "/docs"})),
        ("search", json!({"path": "/docs", "query": ""})),
        ("search", json!({"path": "/docs", "query": "a\nb"})),
        ("search", json!({"path": "/docs", "query": "a", "limit": 1_001})),
        ("search", json!({"path": "/docs", "query": "a", "regex": true})),
        ("search", json!({"path": "/docs/a.md", "query": "a"})),
        ("search", json!({"path": "/docs/none", "query": "a"})),
    ] {
        site.ask(tool, &arguments).expect_err(&arguments.to_string());
    }
}

#[test]
fn links_lead_no_further_than_the_directory() {
    let site = Site::new();
    let outside = site.temp.path().join("outside");
    for (to, name) in [
        (outside.join("secret.md"), "absolute.md"),
        (PathBuf::from("../outside/secret.md"), "relative.md"),
        (outside.clone(), "absolute"),
        (PathBuf::from("../outside"), "relative"),
        (PathBuf::from("sub/../../outside"), "winding"),
        (PathBuf::from("loop"), "loop"),
        (PathBuf::from("/proc/self/root/etc"), "magic"),
        (PathBuf::from("none"), "dangling"),
    ] {
        symlink(to, site.inside(name)).unwrap();
    }
    symlink("../a.md", site.inside("sub/back.md")).unwrap();
    symlink("sub", site.inside("same")).unwrap();
    for path in [
        "absolute.md",
        "relative.md",
        "absolute/secret.md",
        "relative/secret.md",
        "winding/secret.md",
        "loop",
        "magic/passwd",
        "dangling",
        "absolute/sub/secret.md",
    ] {
        site.read(&format!("/docs/{path}")).expect_err(path);
    }
    for path in ["absolute", "relative", "winding", "loop", "magic"] {
        site.ask("list_files", &json!({"path": format!("/docs/{path}")})).expect_err(path);
        site.ask("search", &json!({"path": format!("/docs/{path}"), "query": "e"})).expect_err(path);
    }
    assert_eq!(site.search("SECRET"), json!({"matches": [], "truncated": false}));
    assert_eq!(site.search("needle")["matches"].as_array().unwrap().len(), 2);
    assert_eq!(site.read("/docs/sub/back.md").unwrap(), "Grüße\nneedle one\r\n");
    assert_eq!(site.read("/docs/same/b.md").unwrap(), "needle two");
}

#[test]
fn a_directory_swapped_for_a_link_meanwhile_shows_nothing_outside() {
    let site = Site::new();
    let (here, away, link) = (site.inside("sub"), site.inside("away"), site.inside("link"));
    fs::write(site.inside("sub/secret.md"), "harmless").unwrap();
    let read_on = || {
        let (mut reads, mut refusals) = (0, 0);
        // Until it has met both, often: how long that takes is the scheduler's to say.
        for turn in 0..5_000_000 {
            if reads >= 300 && refusals >= 300 {
                break;
            }
            match site.read("/docs/sub/secret.md") {
                Ok(text) => {
                    assert_eq!(text, "harmless");
                    reads += 1;
                }
                Err(_) => refusals += 1,
            }
            if turn % 10 == 0 {
                assert_eq!(site.search("SECRET")["matches"], json!([]));
            }
        }
        (reads, refusals)
    };
    let (reads, refusals) = thread::scope(|scope| {
        let reader = scope.spawn(read_on);
        while !reader.is_finished() {
            fs::rename(&here, &away).unwrap();
            symlink("../outside", &link).unwrap();
            fs::rename(&link, &here).unwrap();
            fs::remove_file(&here).unwrap();
            fs::rename(&away, &here).unwrap();
        }
        reader.join().unwrap()
    });
    assert!(reads > 0 && refusals > 0, "{reads} reads, {refusals} refusals: nothing was raced");
}

#[test]
fn only_regular_files_are_read_and_nothing_is_waited_for() {
    let site = Site::new();
    let fifo = site.inside("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(site.inside("socket")).unwrap();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let refused = ["fifo", "socket", "sub", "none"].map(|name| site.read(&format!("/docs/{name}")));
        let listed = site.ask("list_files", &json!({"path": "/docs/fifo"}));
        // Opened itself, as if it had been a regular file a moment ago.
        let dir = Dir::open_ambient_dir(site.inside(""), ambient_authority()).unwrap();
        let opened = dir.open_with("fifo", &tree::options()).and_then(tree::regular).unwrap().is_none();
        tell.send((refused, listed, opened, site.search("needle"))).unwrap();
    });
    let (refused, listed, opened, found) = told.recv_timeout(Duration::from_secs(10)).unwrap();
    for (refusal, why) in refused.into_iter().zip(["regular file", "regular file", "regular file", "exist"]) {
        assert!(refusal.clone().unwrap_err().contains(why), "{refusal:?}");
    }
    assert!(listed.is_err() && opened);
    assert_eq!(found["matches"].as_array().unwrap().len(), 2);
}

#[test]
fn text_is_cut_where_a_character_ends() {
    let site = Site::new();
    let piece = |offset: u64, limit: usize| {
        let piece = site.ask("read_file", &json!({"path": "/docs/a.md", "offset": offset, "limit": limit}))?;
        Ok((piece["text"].as_str().unwrap().to_owned(), piece["truncated"].as_bool().unwrap()))
    };
    let is = |text: &str, truncated| Ok::<_, String>((text.to_owned(), truncated));
    assert_eq!(piece(0, 2), is("Gr", true));
    assert_eq!(piece(0, 3), is("Gr", true));
    assert_eq!(piece(0, 4), is("Grü", true));
    assert_eq!(piece(2, 2), is("ü", true));
    assert!(piece(2, 1).unwrap_err().contains("`limit`"));
    assert!(piece(3, 9).unwrap_err().contains("not UTF-8 text at byte 3"));
    assert_eq!(piece(15, 5), is("one\r\n", false));
    assert_eq!(piece(20, 1), is("", false));
    assert_eq!(piece(9_007_199_254_740_991, 1), is("", false));

    fs::write(site.inside("binary"), b"ab\xff\xfe").unwrap();
    fs::write(site.inside("half"), "ab\u{fc}".as_bytes().split_last().unwrap().1).unwrap();
    for name in ["/docs/binary", "/docs/half"] {
        assert!(site.read(name).unwrap_err().contains("not UTF-8 text at byte 2"));
    }
    fs::write(site.inside("large"), "x".repeat((1 << 20) + 1)).unwrap();
    let large = site.ask("read_file", &json!({"path": "/docs/large"})).unwrap();
    assert_eq!((large["text"].as_str().unwrap().len(), &large["truncated"]), (1 << 20, &json!(true)));
    assert_eq!(large["bytes"], json!((1 << 20) + 1));
    fs::write(site.inside("large"), "x".repeat(1 << 20)).unwrap();
    assert_eq!(site.ask("read_file", &json!({"path": "/docs/large"})).unwrap()["truncated"], json!(false));
}

#[test]
fn a_listing_ends_at_its_limit_in_the_order_of_names() {
    let site = Site::new();
    let names: Vec<String> = (0..1_001).map(|number| format!("{number:04}")).collect();
    fs::create_dir(site.inside("many")).unwrap();
    for name in names.iter().rev() {
        fs::write(site.inside("many").join(name), name).unwrap();
    }
    for (limit, count) in
        [(None, 1_000), (Some(1), 1), (Some(1_000), 1_000), (Some(1_001), 1_001), (Some(10_000), 1_001)]
    {
        let listing = site.ask("list_files", &json!({"path": "/docs/many", "limit": limit})).unwrap();
        let listed = listing["entries"].as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap());
        assert!(listed.eq(names.iter().take(count).map(String::as_str)));
        assert_eq!(listing["truncated"], json!(count < names.len()));
    }
    for (limit, count, truncated) in [(None, 100, true), (Some(1_000), 1_000, true)] {
        let found = site.ask("search", &json!({"path": "/docs/many", "query": "0", "limit": limit})).unwrap();
        assert_eq!((found["matches"].as_array().unwrap().len(), &found["truncated"]), (count, &json!(truncated)));
    }
    let found = site.ask("search", &json!({"path": "/docs/many", "query": "100", "limit": 2})).unwrap();
    assert_eq!((found["matches"].as_array().unwrap().len(), &found["truncated"]), (2, &json!(false)));
}

#[test]
fn a_search_passes_over_what_is_too_large_too_deep_or_no_text() {
    let site = Site::new();
    fs::write(site.inside("binary"), b"needle \xff").unwrap();
    fs::write(site.inside("large"), format!("huge needle{}", " ".repeat(4 << 20))).unwrap();
    fs::write(site.inside("line"), "ü".repeat(300) + "needle").unwrap();
    let found = site.search("needle");
    assert_eq!((found["matches"].as_array().unwrap().len(), &found["truncated"]), (3, &json!(false)));
    assert_eq!(found["matches"][1]["text"], json!("ü".repeat(200)));

    let mut deep = site.inside("");
    (0..32).for_each(|_| deep.push("d"));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("f"), "deepest").unwrap();
    assert_eq!(
        (&site.search("deep")["truncated"], site.search("deepest")["matches"][0]["line"].clone()),
        (&json!(false), json!(1))
    );
    fs::create_dir(deep.join("d")).unwrap();
    fs::write(deep.join("d/f"), "deeper than that").unwrap();
    assert_eq!(site.search("deeper"), json!({"matches": [], "truncated": true}));
}

#[test]
fn names_are_any_text_that_a_path_can_hold() {
    let site = Site::new();
    for name in ["Grüße 😀.md", "日本", "a b, 50%"] {
        fs::write(site.inside(name), "here").unwrap();
        assert_eq!(site.read(&format!("/docs/{name}")), Ok("here".to_owned()));
    }
    for name in ["back\\slash", "a\nb", "...", "%2e"] {
        fs::write(site.inside(name), "here").unwrap();
    }
    fs::write(site.inside("").join(std::ffi::OsStr::from_bytes(b"not\xfftext")), "here").unwrap();
    let names = |list: &Value, name: &str| -> Vec<String> {
        list.as_array().unwrap().iter().map(|entry| entry[name].as_str().unwrap().to_owned()).collect()
    };
    let listing = site.ask("list_files", &json!({"path": "/docs"})).unwrap();
    assert_eq!(names(&listing["entries"], "name"), ["Grüße 😀.md", "a b, 50%", "a.md", "sub", "日本"]);
    let found = names(&site.search("here")["matches"], "path");
    assert_eq!(found, ["/docs/Grüße 😀.md", "/docs/a b, 50%", "/docs/日本"]);
}
