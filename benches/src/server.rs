//! A vilicus server of the bench's own: the real binary, on a free port, with a store that is gone afterwards.

use std::path::Path;
use std::process::Command;

use crate::Failure;
use crate::alarm::Tokens;
use crate::connection::Server;
use crate::spawn::Program;

/// The tokens of such a server. It listens on loopback for as long as the bench takes.
pub const TOKENS: Tokens<'static> =
    Tokens { admin: "an-admin-token-for-the-benches-alone", enroll: "an-enrol-token-for-the-benches-alone" };

/// A limit that no bench meets.
const UNLIMITED: &str = "1000000";

/// A running vilicus server.
#[derive(Debug)]
pub struct Vilicus {
    program: Program,
    server: Server,
}

impl Vilicus {
    /// Starts this binary, with its store under this folder, which must be on a real disk.
    ///
    /// # Errors
    /// It does not begin.
    pub fn start(binary: &Path, under: &Path) -> Result<Self, Failure> {
        let folder = tempfile::tempdir_in(under)?;
        let mut command = Command::new(binary);
        command
            .arg("serve")
            .env("VILICUS_LISTEN", "127.0.0.1:0")
            .env("VILICUS_STORE", format!("sled:{}", folder.path().join("data").display()))
            .env("VILICUS_ADMIN_TOKEN", TOKENS.admin)
            .env("VILICUS_ENROLL_TOKEN", TOKENS.enroll)
            .env("VILICUS_AGENT_REQUESTS_PER_SECOND", UNLIMITED)
            .env("VILICUS_AGENT_REQUESTS_BURST", UNLIMITED)
            .env("NO_COLOR", "1");
        let mut program = Program::start(command, folder)?;
        let url = program.wait_for(|program| url_in(&program.log()))?;
        Ok(Self { server: Server::new(&url, None)?, program })
    }

    /// Where it is.
    #[must_use]
    pub const fn server(&self) -> &Server {
        &self.server
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.program.pid()
    }
}

/// The address in the line of the log that tells it; the line must be whole.
fn url_in(log: &str) -> Option<String> {
    let (_, rest) = log.split_once("listening on ")?;
    rest.split_once('\n').map(|(url, _)| url.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_a_whole_line() {
        assert_eq!(url_in("x\ninfo listening on http://127.0.0.1:43"), None);
        let log = "info listening on http://127.0.0.1:4321\nnext";
        assert_eq!(url_in(log).as_deref(), Some("http://127.0.0.1:4321"));
    }
}
