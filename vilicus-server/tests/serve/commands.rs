//! The other commands, beside a server that runs and without one; and everything that can be said wrong.

use crate::browser::Browser;
use crate::process::{Place, complaint, mode, printed};

const STORE: [&str; 2] = ["--store", "sled:data"];

fn with_store<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    arguments.iter().chain(&STORE).copied().collect()
}

#[tokio::test]
async fn commands_talk_to_the_server_that_runs_or_open_the_store_themselves() {
    let place = Place::new();
    let server = place.serve(&STORE, &[]).await;
    assert_eq!(mode(&place.path("data/local.token")), 0o600);
    let token =
        printed(&place.run(&with_store(&["token", "create", "--role", "viewer", "--expires", "30d"])));
    let mut browser = Browser::new(&server.url());
    assert_eq!(browser.submit("/login", &[("token", &token)]).await.status, 303);
    let link = printed(&place.run(&with_store(&["login-link"])));
    assert!(link.starts_with(&server.url()), "{link}");
    assert_eq!(browser.get(&link).await.status, 303);
    assert!(printed(&place.run(&with_store(&["store", "info"]))).contains("store_writable 1"));
    let verify = place.run(&with_store(&["store", "verify"]));
    assert_eq!(verify.status.code(), Some(1), "{}", complaint(&verify));
    assert_eq!(server.stop().await.code(), Some(0));
    assert!(!place.path("data/local.token").exists(), "the way in goes with the server");

    let alone = printed(&place.run(&with_store(&["token", "create", "--role", "admin", "--name", "alone"])));
    let twice = place.run(&with_store(&["token", "create", "--role", "admin", "--name", "alone"]));
    assert!(complaint(&twice).contains("'alone' is taken"), "{}", complaint(&twice));
    assert!(printed(&place.run(&with_store(&["store", "verify"]))).contains("nothing is broken"));
    let link = printed(&place.run(&with_store(&["login-link"])));
    let server = place.serve(&STORE, &[]).await;
    let mut browser = Browser::new(&server.url());
    assert_eq!(browser.submit("/login", &[("token", &alone)]).await.status, 303);
    assert_eq!(browser.get(&link[link.find("/login").unwrap()..]).await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_kept_in_a_file_restored_moved_and_compacted() {
    let place = Place::new();
    let server = place.serve(&STORE, &[]).await;
    let known = ["token", "create", "--role", "admin", "--name", "known-again"];
    let token = printed(&place.run(&with_store(&known)));
    let file = place.path("all.backup");
    let name = file.to_str().unwrap();
    assert!(printed(&place.run(&with_store(&["store", "backup", name]))).contains("nothing is broken"));
    assert_eq!(mode(&file), 0o600, "it holds secrets");
    for taken in [&["store", "compact"] as &[_], &["store", "restore", name]] {
        let refused = place.run(&with_store(taken));
        assert_ne!(refused.status.code(), Some(0), "{taken:?} while the server runs");
    }
    assert_eq!(server.stop().await.code(), Some(0));
    let over = place.run(&with_store(&["store", "restore", name]));
    assert!(complaint(&over).contains("move it aside first"), "{}", complaint(&over));
    std::fs::write(place.path("data/kept.txt"), "none of the store's").unwrap();
    assert!(printed(&place.run(&with_store(&["store", "compact"]))).contains("bytes and has"));
    assert!(place.path("data/kept.txt").exists() && !place.path("data.compact").exists());
    printed(&place.run(&with_store(&["store", "backup", name])));

    std::fs::remove_dir_all(place.path("data")).unwrap();
    let next = printed(&place.run(&with_store(&["store", "restore", name])));
    assert!(next.contains("vilicus-server serve --store"), "{next}");
    let (data, moved) = (place.path("data"), place.path("moved"));
    let (from, to) = (format!("sled:{}", data.display()), format!("sled:{}", moved.display()));
    let migrated = printed(&place.run(&["store", "migrate", "--from", &from, "--to", &to]));
    assert!(migrated.contains(&to), "{migrated}");
    std::fs::remove_dir_all(&data).unwrap();
    std::fs::rename(&moved, &data).unwrap();
    let server = place.serve(&STORE, &[]).await;
    let mut browser = Browser::new(&server.url());
    assert_eq!(browser.submit("/login", &[("token", &token)]).await.status, 303, "the token is known");

    let half = std::fs::read(&file).unwrap();
    std::fs::write(&file, &half[..half.len() / 2]).unwrap();
    let other = format!("sled:{}", place.path("other").display());
    let cut = place.run(&["store", "restore", name, "--store", &other]);
    assert!(complaint(&cut).contains("ends early"), "{}", complaint(&cut));
    assert!(!place.path("other/restoring").exists(), "nothing is written before the file was read");
}

#[test]
fn what_is_said_wrong_is_explained_with_the_right_exit_code() {
    let place = Place::new();
    let bad = place.write("bad.toml", "store = 'memory:'\nlisen = '127.0.0.1:1'\n");
    let bad = bad.to_str().unwrap();
    let table: [(&[&str], i32, &str); 15] = [
        (&["sreve"], 2, "serve"),
        (&["serve", "--listen", "nowhere"], 2, "--listen"),
        (&["serve", "--lisen", "127.0.0.1:0"], 2, "--listen"),
        (&["serve", "--durability", "disk"], 2, "power or process"),
        (&["token", "create"], 2, "--role"),
        (&["token", "create", "--role", "god"], 2, "possible values"),
        (&["token", "create", "--role", "enroll", "--uses", "0"], 2, "--uses"),
        (&["token", "create", "--role", "admin", "--uses", "1"], 2, "enroll"),
        (&["token", "create", "--role", "admin", "--expires", "30"], 2, "unit"),
        (&["check-config"], 2, "FILE"),
        (&["serve", "--config", bad], 78, "bad.toml:2:1: unknown key 'lisen'; did you mean 'listen'?"),
        (&["check-config", bad], 78, "bad.toml:2:1"),
        (&["serve", "--config", "/nowhere/server.toml"], 78, "/nowhere/server.toml"),
        (&["serve", "--store", "redis:x"], 78, "sled:DIR"),
        (&["serve", "--listen", "127.0.0.1:0", "--store", "sled:/proc/none"], 74, "/proc/none"),
    ];
    for (arguments, code, words) in table {
        let output = place.run(arguments);
        let complaint = complaint(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {complaint}");
        assert!(complaint.contains(words), "{arguments:?}: {complaint}");
        assert!(output.stdout.is_empty(), "{arguments:?}: standard output is for results");
    }
}

#[test]
fn a_guessable_token_is_refused_unseen() {
    let place = Place::new();
    let output = place
        .command(&["serve", "--store", "memory:"])
        .env("VILICUS_ADMIN_TOKEN", "guess-me")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(78));
    let complaint = complaint(&output);
    assert!(complaint.contains("32 characters") && !complaint.contains("guess-me"), "{complaint}");
}

#[test]
fn what_asks_for_nothing_answers_on_standard_output() {
    let place = Place::new();
    let good = place.write("good.toml", "listen = '127.0.0.1:0'\n[limits]\nbody_bytes = 1000\n");
    assert!(printed(&place.run(&["check-config", good.to_str().unwrap()])).ends_with("good.toml: ok"));
    assert!(printed(&place.run(&["--version"])).starts_with("vilicus-server 0."));
    assert!(printed(&place.run(&["completions", "bash"])).contains("login-link"));
    assert!(printed(&place.run(&["man"])).contains("vilicus"));
    let help = printed(&place.run(&["serve", "--help"]));
    for name in ["VILICUS_LISTEN", "VILICUS_STORE", "VILICUS_PUBLIC_URL", "VILICUS_TLS_CERT", "--local-agent"]
    {
        assert!(help.contains(name), "{name} is missing:\n{help}");
    }
    let missing = place.run(&["store", "info", "--store", "sled:nothing"]);
    assert_eq!(missing.status.code(), Some(74), "{}", complaint(&missing));
    assert!(!place.path("nothing").exists(), "looking makes nothing");
}
