//! Our agent, reporting over TLS to a server of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use vilicus_benches::Failure;
use vilicus_benches::server::{TOKENS, Vilicus};
use vilicus_benches::spawn::Program;

use crate::Watcher;

/// What is watched.
const CHECKS: &str = r#"
[[template]]
name = "ten"
match = ["tag=ten"]
checks = [
  { name = "cpu", kind = "cpu", thresholds = { usage = { warning = "80", critical = "95", for = "5m" } } },
  { name = "memory", kind = "memory" },
  { name = "swap", kind = "swap" },
  { name = "load", kind = "load" },
  { name = "disk", kind = "disk", params = { path = "/" } },
  { name = "network", kind = "network" },
  { name = "uptime", kind = "uptime" },
  { name = "server", kind = "process", params = { name = "vilicus-server" } },
  { name = "agent", kind = "process", params = { name = "vilicus-agent" } },
  { name = "port", kind = "tcp", params = { host = "127.0.0.1", port = PORT } },
]
[[agent]]
name = "bench"
tags = ["ten"]
check_interval = "10s"
"#;

/// Starts a server and an agent that has ten checks on it.
pub(crate) fn start(server_binary: &Path, agent: PathBuf) -> Result<(Vilicus, Watcher), Failure> {
    let server = Vilicus::start_with_tls(server_binary, &std::env::temp_dir())?;
    let folder = tempfile::tempdir()?;
    let (config, checks) = (folder.path().join("agent.toml"), folder.path().join("checks.toml"));
    let url = server.url();
    let (_, port) = url.rsplit_once(':').ok_or("no port")?;
    fs::write(&checks, CHECKS.replace("PORT", port))?;

    let ca_file = &server.certificate();
    let mut enroll = Command::new(&agent);
    enroll
        .arg("enroll")
        .arg("--config")
        .arg(&config)
        .args(["--server", url, "--name", "bench", "--tag", "ten"]);
    done(enroll.env("VILICUS_CA_FILE", ca_file).env("VILICUS_ENROLL_TOKEN", TOKENS.enroll))?;
    let mut apply = Command::new(server_binary.with_file_name("vilicusctl"));
    apply.args(["apply", "-f"]).arg(&checks).env("VILICUS_URL", url).env("VILICUS_CA_FILE", ca_file);
    done(apply.env("VILICUS_TOKEN", TOKENS.admin))?;

    let mut command = Command::new(&agent);
    command.arg("run").arg("--config").arg(&config);
    let mut program = Program::start(command, folder)?;
    program.wait_for(|program| program.log().contains("got the checks").then_some(()))?;
    Ok((server, Watcher { name: "vilicus, over TLS", program, binary: agent, asked: None }))
}

fn done(command: &mut Command) -> Result<(), Failure> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into())
}
