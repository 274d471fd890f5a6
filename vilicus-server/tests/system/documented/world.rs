//! A host on which the documents' commands are run: a server with the things that they speak of, and stand-ins for what
//! a test must not touch (`sudo`, the service manager, the files below `/etc` and `/var`).

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

use serde_json::json;
use tempfile::TempDir;

use crate::harness::process::clean_command;
use crate::harness::{Rest, until};

const ADMIN: &str = "admin-token-of-the-documented-world-1";
const ENROLL: &str = "enroll-token-of-the-documented-world";
/// What a call that is not in here may exit with is 0.
const CODES: [(&str, &[&str]); 3] = [
    // A plugin: what it finds on this host is not the documents' matter; that it could look is.
    ("vilicus-agent check", &["0", "1", "2"]),
    ("vilicusctl status", &["0", "1", "2"]),
    // Followed until it was interrupted.
    ("vilicusctl events -f", &["143"]),
];
const FILES: [(&str, &str); 7] = [
    ("etc/vilicus/by-hand.toml", "[command]\nallow = [\"/usr/lib/nagios/plugins/*\"]\n"),
    ("site.toml", "[[agent]]\nname = \"db-1\"\n"),
    (
        "monitoring.toml",
        "[[channel]]\nname = \"ops\"\nkind = \"webhook\"\nparams = { url = \"http://127.0.0.1:9/\" }\n",
    ),
    (
        "alerting-tests.toml",
        "[[agent]]\nname = \"web-1\"\n[[check]]\nagent = \"web-1\"\nname = \"disk\"\nkind = \"cpu\"\n[[test]]\nname = \"who is well tells nobody\"\ncheck = \"web-1/disk\"\ninput = [{ at = \"0m\", status = \"OK\" }]\nexpect_none = true\n",
    ),
    ("deploy.sh", "#!/bin/sh\n"),
    ("etc/vilicus/server.toml", ""),
    (
        "etc/nagios4/hosts.cfg",
        "define host {\n host_name web-9\n}\ndefine service {\n host_name web-9\n service_description load\n check_command load\n}\ndefine command {\n command_name load\n command_line /usr/lib/nagios/plugins/check_load\n}\n",
    ),
];
/// What the documents leave to the reader, and what is elsewhere here. In this order.
const WORDS: [(&str, &str); 12] = [
    ("https://vilicus.example.org", "http://ADDRESS:8080"),
    ("http://SERVER:8080", "http://ADDRESS:8080"),
    ("127.0.0.1:8080", "ADDRESS:8080"),
    ("localhost:8080", "ADDRESS:8080"),
    ("--enroll-token TOKEN", "--enroll-token ENROLL"),
    ("vil_…", "ENROLL"),
    ("interface=eth0", "interface=lo"),
    ("/var/lib/", "ROOT/var/lib/"),
    ("/etc/", "ROOT/etc/"),
    ("/mnt/", "ROOT/mnt/"),
    (" /backup/", " ROOT/backup/"),
    ("$(hostname)", "this-host"),
];

/// The host.
pub(super) struct World {
    folder: TempDir,
    address: Ipv4Addr,
}

impl World {
    /// A host whose server runs, with an agent `web-1`, its checks and two channels.
    pub(super) async fn new() -> Self {
        static MADE: AtomicU8 = AtomicU8::new(1);
        let [.., high, low] = std::process::id().to_be_bytes();
        // The harness counts from below.
        let address = Ipv4Addr::new(127, high, low, 255 - MADE.fetch_add(1, Ordering::Relaxed));
        let world = Self { folder: tempfile::tempdir().unwrap(), address };
        assert!(TcpListener::bind((address, 8080)).is_ok(), "{address}:8080 is free");
        for folder in
            ["etc/vilicus", "etc/nagios4", "etc/nagios-plugins/config", "var/lib", "mnt", "backup", "home"]
        {
            fs::create_dir_all(world.root().join(folder)).unwrap();
        }
        for (name, text) in FILES {
            fs::write(world.root().join(name), text).unwrap();
        }
        let empty = "define command {\n command_name none\n command_line /bin/true\n}\n";
        fs::write(world.root().join("etc/nagios-plugins/config/none.cfg"), empty).unwrap();
        world.run("chmod +x deploy.sh; systemctl start vilicus-server");
        world.fill().await;
        world
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }

    fn rest(&self) -> Rest {
        Rest::new(&format!("http://{}:8080", self.address)).bearer(ADMIN)
    }

    async fn fill(&self) {
        let rest = self.rest();
        let up = async || rest.try_send(reqwest::Method::GET, "/readyz", &[], None).await.ok().map(|_| ());
        until("the documented server is there", std::time::Duration::from_secs(10), up).await;
        for name in ["web-1", "this-host"] {
            rest.create("/api/v1/agent/", json!({"name": name, "hostname": name, "tags": ["web", "prod"]}))
                .await;
        }
        for name in ["ops", "boss"] {
            let params = json!({"url": "http://127.0.0.1:9/"});
            rest.create(
                "/api/v1/channel/",
                json!({"name": name, "kind": "webhook", "enabled": false, "params": params}),
            )
            .await;
        }
        for (name, status) in [("shop", "CRITICAL"), ("disk", "CRITICAL"), ("disk-root", "OK")] {
            let check =
                json!({"agent": "web-1", "name": name, "kind": "cpu", "max_attempts": 1, "interval": "1h"});
            rest.create("/api/v1/check/", check).await;
            let result = json!({"status": status, "metrics": [{"name": "usage", "value": 91, "unit": "%"}]});
            rest.post(&format!("/api/v1/check/web-1%2F{name}/result/"), &result).await.expect(201);
        }
    }

    /// Runs a script as its reader would, and returns what each call of a program of ours, and of curl, came to.
    pub(super) fn run(&self, script: &str) -> Vec<Call> {
        let calls = self.root().join("calls");
        let _ = fs::remove_file(&calls);
        let script = self.in_this_world(script);
        let mut command = self.bash();
        let output = command.arg("-c").arg(&script).output().unwrap();
        let said = format!(
            "{script}\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        let calls = fs::read_to_string(calls).unwrap_or_default();
        calls
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(code, what)| Call::new(code, what, &said))
            .collect()
    }

    fn in_this_world(&self, script: &str) -> String {
        let mut script = script.to_owned();
        for (word, here) in WORDS {
            script = script.replace(word, here);
        }
        script
            .replace("ADDRESS", &self.address.to_string())
            .replace("ENROLL ", &format!("{ENROLL} "))
            .replace("ENROLL\n", &format!("{ENROLL}\n"))
            .replace("ROOT/", &format!("{}/", self.root().display()))
    }

    fn bash(&self) -> Command {
        let programs = Path::new(env!("CARGO_BIN_EXE_vilicus-server")).parent().unwrap();
        let stand_ins = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/system/documented/programs");
        let mut command = clean_command(Path::new("/bin/bash"), &self.root().join("home"));
        command
            .env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", stand_ins.display()))
            .env("ROOT", self.root())
            .env("PROGRAMS", programs)
            .env("ADDRESS", self.address.to_string())
            .env("VILICUS_ADMIN_TOKEN", ADMIN)
            .env("VILICUS_ENROLL_TOKEN", ENROLL)
            .env("VILICUS_STORE", format!("sled:{}/var/lib/vilicus", self.root().display()))
            .env("VILICUS_URL", format!("http://{}:8080", self.address))
            .env("VILICUS_TOKEN", ADMIN)
            .env("TOKEN", ADMIN)
            .current_dir(self.root());
        command
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.run("systemctl stop vilicus-server");
    }
}

/// One call of a program.
#[derive(Debug)]
pub(super) struct Call {
    code: String,
    what: String,
    /// The script, and all that it said.
    said: String,
}

impl Call {
    fn new(code: &str, what: &str, said: &str) -> Self {
        Self { code: code.to_owned(), what: what.to_owned(), said: said.to_owned() }
    }

    /// Why it did not go as documented.
    pub(super) fn fault(&self) -> Option<String> {
        let allowed = CODES
            .iter()
            .find(|(start, _)| self.what.starts_with(start))
            .map_or(&["0"][..], |(_, codes)| codes);
        let is_well = allowed.contains(&self.code.as_str());
        (!is_well).then(|| format!("'{}' ended with {}\n{}", self.what, self.code, self.said))
    }
}

/// Where the documents are.
pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
