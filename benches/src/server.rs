//! A vilicus server of the bench's own: the real binary, on a free port, with a store that is gone afterwards.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use crate::alarm::Tokens;
use crate::connection::Server;
use crate::spawn::Program;
use crate::{Failure, clock};

/// The tokens of such a server. It listens on loopback for as long as the bench takes.
pub const TOKENS: Tokens<'static> =
    Tokens { admin: "an-admin-token-for-the-benches-alone", enroll: "an-enrol-token-for-the-benches-alone" };

/// The files of a certificate, in the server's folder.
const CERTIFICATE: &str = "cert.pem";
const KEY: &str = "key.pem";

/// A limit that no bench meets.
const UNLIMITED: &str = "1000000";

/// A running vilicus server.
#[derive(Debug)]
pub struct Vilicus {
    program: Program,
    url: String,
    server: Server,
}

impl Vilicus {
    /// Starts this binary, with its store under this folder, which must be on a real disk.
    ///
    /// # Errors
    /// It does not begin.
    pub fn start(binary: &Path, under: &Path) -> Result<Self, Failure> {
        Self::start_in(tempfile::tempdir_in(under)?.into(), binary, false)
    }

    /// The same, with a certificate of its own.
    ///
    /// # Errors
    /// It does not begin.
    pub fn start_with_tls(binary: &Path, under: &Path) -> Result<Self, Failure> {
        let folder = tempfile::tempdir_in(under)?;
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        fs::write(folder.path().join(CERTIFICATE), made.cert.pem())?;
        fs::write(folder.path().join(KEY), made.signing_key.serialize_pem())?;
        Self::start_in(folder.into(), binary, true)
    }

    /// Ends it, and starts it again with what it knows; also how long the start took.
    ///
    /// # Errors
    /// It does not end, or does not begin.
    pub fn again(self, binary: &Path) -> Result<(Self, Duration), Failure> {
        let folder = self.program.shared_folder();
        let with_tls = self.certificate().exists();
        self.program.end()?;
        let begin = clock::now();
        let again = Self::start_in(folder, binary, with_tls)?;
        Ok((again, begin.elapsed()))
    }

    fn start_in(folder: Arc<TempDir>, binary: &Path, with_tls: bool) -> Result<Self, Failure> {
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
        let certificate = folder.path().join(CERTIFICATE);
        if with_tls {
            command.env("VILICUS_TLS_CERT", &certificate).env("VILICUS_TLS_KEY", folder.path().join(KEY));
        }
        let mut program = Program::start(command, folder)?;
        let url = program.wait_for(|program| url_in(&program.log()))?;
        let server = Server::new(&url, with_tls.then_some(certificate.as_path()))?;
        Ok(Self { program, url, server })
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The file with the certificate that is to be trusted, of one that has TLS.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.program.folder().join(CERTIFICATE)
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
