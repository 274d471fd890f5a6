//! A PostgreSQL server for a peer that needs one: in a folder of its own, on a socket there, with its usual settings.

use std::fs;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use vilicus_benches::Failure;
use vilicus_benches::spawn::Program;

/// Who owns the database; the peer, too, comes under this name.
pub(crate) const OWNER: &str = "peer";
/// The user of Debian's package: the server refuses to run as root.
const USER: &str = "postgres";

/// A running server.
pub(crate) struct Postgres {
    program: Program,
}

impl Postgres {
    /// Starts one under this folder, which must be on a real disk and open to other users.
    pub(crate) fn start(under: &Path) -> Result<Self, Failure> {
        let folder = tempfile::tempdir_in(under)?;
        let (user, group) = (id("-u")?, id("-g")?);
        std::os::unix::fs::chown(folder.path(), Some(user), Some(group))?;
        let programs = programs()?;
        let data = folder.path().join("data");
        let mut make = Command::new(programs.join("initdb"));
        make.args(["--auth=trust", "--username", OWNER, "--encoding=UTF8", "--pgdata"]).arg(&data);
        run(make.uid(user).gid(group).current_dir(folder.path()))?;
        let mut command = Command::new(programs.join("postgres"));
        command.arg("-D").arg(&data).arg("-k").arg(folder.path()).args(["-c", "listen_addresses="]);
        command.uid(user).gid(group).current_dir(folder.path());
        let mut program = Program::start(command, folder)?;
        program.wait_for(|program| program.log().contains("ready to accept connections").then_some(()))?;
        Ok(Self { program })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// Where its socket is.
    pub(crate) fn folder(&self) -> &Path {
        self.program.folder()
    }

    /// Runs SQL in a database, and returns what it prints.
    pub(crate) fn run(&self, database: &str, sql: &[u8]) -> Result<String, Failure> {
        let mut psql = Command::new("psql");
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]);
        psql.arg("-h").arg(self.folder()).args(["-U", OWNER, "-d", database]);
        let mut child = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(sql)?;
        }
        told(child.wait_with_output()?)
    }

    /// Ends it as its operators do.
    pub(crate) fn end(self) -> Result<(), Failure> {
        // SIGINT: sessions are ended, what is written stays.
        Command::new("kill").args(["-INT", &self.pid().to_string()]).status()?;
        self.program.wait_for_end()
    }
}

/// Runs a program to its end, and returns what it prints.
pub(crate) fn run(command: &mut Command) -> Result<String, Failure> {
    told(command.stdin(Stdio::null()).output()?)
}

fn told(output: std::process::Output) -> Result<String, Failure> {
    if output.status.success() {
        Ok(String::from_utf8(output.stdout)?)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
    }
}

fn id(which: &str) -> Result<u32, Failure> {
    Ok(run(Command::new("id").args([which, USER]))?.trim().parse()?)
}

/// Debian keeps the programs of each version in a folder of its own.
fn programs() -> Result<PathBuf, Failure> {
    let versions = fs::read_dir("/usr/lib/postgresql")?.flatten().map(|entry| entry.path().join("bin"));
    versions.max().ok_or_else(|| "no PostgreSQL in /usr/lib/postgresql".into())
}
