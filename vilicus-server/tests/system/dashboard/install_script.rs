//! The script that a new host runs: what it says it would do, what it refuses, and that it gets what it was promised.

use std::path::Path;
use std::process::Output;

use sha2::{Digest as _, Sha256};

use crate::harness::Server;
use crate::harness::process::clean_command;

fn run(script: &Path, arguments: &[&str]) -> Output {
    let folder = script.parent().unwrap();
    clean_command(Path::new("/bin/sh"), folder).arg(script).args(arguments).output().unwrap()
}

#[tokio::test]
async fn the_script_says_what_it_would_do() {
    let server = Server::new().start().await;
    let text = server.rest().get("/install.sh").await.text();
    let script = server.folder().join("install.sh");
    std::fs::write(&script, &text).unwrap();

    let plan = run(&script, &["--dry-run", "--token", "secret", "--name", "web 1", "--tag", "web"]);
    assert!(plan.status.success(), "{}", String::from_utf8_lossy(&plan.stderr));
    let plan = String::from_utf8(plan.stdout).unwrap();
    assert!(plan.lines().all(|line| line.starts_with("would: ")), "{plan}");
    for part in ["useradd --system", "--name web 1 --tag web", &format!("enroll --server {}", server.url())] {
        assert!(plan.contains(part), "{part} is missing in {plan}");
    }
    assert!(!plan.contains("secret"), "other users see what is run: {plan}");
    let plan = run(&script, &["--dry-run", "--uninstall"]);
    assert!(String::from_utf8_lossy(&plan.stdout).contains("would: rm -f"));

    for (arguments, words) in [
        (&["--dry-run"][..], "no token"),
        (&["--bogus"], "unknown option --bogus"),
        (&["--token"], "--token needs a value"),
    ] {
        let refused = run(&script, arguments);
        assert_eq!(refused.status.code(), Some(1), "{arguments:?}");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn the_program_is_what_the_script_promises() {
    let server = Server::new().start().await;
    let text = server.rest().get("/install.sh").await.text();
    let program = server.rest().get("/install/vilicus-agent").await;
    assert_eq!(program.status, 200);
    let hash: String = Sha256::digest(&program.body).iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(text.contains(&format!("SHA256=\"{hash}\"")), "the script promises another program");
    // A name that would break out of the script's quotes makes no script.
    let headers = [("host", "a\"; rm -rf /;\"")];
    let answer = server.rest().try_send(reqwest::Method::GET, "/install.sh", &headers, None).await;
    assert!(answer.map_or(true, |answer| answer.status == 400));
}
