//! A real `vilicus-agent`, enrolled by its own command.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::process::clean_command;
use super::server::ENROLL_TOKEN;
use super::{Process, Rest, Server, rest, until};

/// An agent of one server, running or not.
#[derive(Debug)]
pub(crate) struct Agent {
    process: Option<Process>,
    /// Its name.
    pub(crate) name: String,
    /// Its id on the server.
    pub(crate) id: u64,
    folder: PathBuf,
    environment: Vec<(String, String)>,
}

impl Agent {
    /// Enrols an agent of this name by `vilicus-agent enroll`; it does not run yet.
    pub(crate) async fn enroll(server: &Server, name: &str) -> Self {
        Self::enroll_with(server, &server.admin(), name, ENROLL_TOKEN).await
    }

    /// Enrols one with this token; `admin` may see it.
    pub(crate) async fn enroll_with(server: &Server, admin: &Rest, name: &str, token: &str) -> Self {
        let folder = server.folder().join(name);
        fs::create_dir(&folder).unwrap();
        let mut agent = Self { process: None, name: name.to_owned(), id: 0, folder, environment: Vec::new() };
        let mut command = agent.command();
        command
            .args(["enroll", "--server", &server.url(), "--enroll-token", token, "--name", name])
            .args(["--config", &agent.config().display().to_string()]);
        let done = command.output().unwrap();
        assert!(done.status.success(), "vilicus-agent enroll: {}", String::from_utf8_lossy(&done.stderr));
        let agents = admin.list("/api/v1/agent/?limit=0").await;
        agent.id =
            rest::id(agents.iter().find(|agent| agent["name"] == name).expect("the agent is enrolled"));
        agent
    }

    /// With a variable in the environment of its coming starts.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it.
    pub(crate) fn start(&mut self) {
        assert!(self.process.is_none(), "the agent already runs");
        let mut command = self.command();
        command
            .args(["run", "--config", &self.config().display().to_string()])
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        self.process = Some(Process::start("agent", command, &self.folder));
    }

    /// Ends it as a crash of its host would.
    pub(crate) fn kill(&mut self) {
        self.process.take().expect("the agent runs").kill();
    }

    /// Its process.
    pub(crate) fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("the agent runs")
    }

    /// The file that `enroll` wrote.
    pub(crate) fn config(&self) -> PathBuf {
        self.folder.join("agent.toml")
    }

    /// Its path in the API.
    pub(crate) fn path(&self) -> String {
        format!("/api/v1/agent/{}/", self.id)
    }

    /// Makes a check of it, with `fields` over what every check needs.
    pub(crate) async fn check(&self, admin: &Rest, name: &str, kind: &str, fields: Value) -> u64 {
        let mut check = json!({"agent": self.id, "name": name, "kind": kind});
        for (field, value) in fields.as_object().unwrap() {
            check[field] = value.clone();
        }
        rest::id(&admin.create("/api/v1/check/", check).await)
    }

    fn command(&self) -> Command {
        clean_command(&agent_binary(), &self.folder)
    }
}

/// The agent's program, beside the server's.
pub(crate) fn agent_binary() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_vilicus-server")).with_file_name("vilicus-agent");
    assert!(
        path.exists(),
        "{} is missing: run `cargo build --workspace --bins` first, as scripts/test does",
        path.display()
    );
    path
}

/// Makes an agent that is only a token: what a script with `curl` would be. Returns its id and a client with its token.
pub(crate) async fn enroll_by_hand(server: &Server, name: &str) -> (u64, Rest) {
    let body = json!({"name": name, "hostname": "by-hand.example.org"});
    let answer = server.rest().bearer(ENROLL_TOKEN).post("/api/v1/agent/enroll/", &body).await;
    assert!(matches!(answer.status, 200 | 201), "enrolment: {} {}", answer.status, answer.text());
    let client = server.rest().bearer(rest::text(&answer.json(), "token"));
    let own = client.list("/api/v1/agent/").await;
    assert_eq!(own.len(), 1, "an agent sees itself alone: {own:?}");
    (rest::id(&own[0]), client)
}

/// The state of a check when it has `status` and `state_type`, awaited.
pub(crate) async fn state_of(
    admin: &Rest,
    check: u64,
    status: &str,
    state_type: &str,
    limit: Duration,
) -> Value {
    let path = format!("/api/v1/check/{check}/");
    until(&format!("check {check} is {state_type} {status}"), limit, async || {
        let state = admin.get(&path).await.expect(200)["state"].clone();
        (state["status"] == status && state["state_type"] == state_type).then_some(state)
    })
    .await
}
