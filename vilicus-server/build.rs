//! Tells the crate which commit it is built from, for `--version` and `/metrics`.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=VILICUS_COMMIT");
    println!("cargo:rerun-if-changed=../.git/HEAD");
    println!("cargo:rerun-if-changed=../.git/logs/HEAD");
    let commit = env::var("VILICUS_COMMIT").ok().or_else(commit_of_the_tree);
    println!("cargo:rustc-env=VILICUS_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
}

/// `None` when this is no git tree, as in a packaged crate.
fn commit_of_the_tree() -> Option<String> {
    let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok()?;
    let commit = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| commit.trim().to_owned())
}
