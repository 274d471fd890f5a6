//! A program that runs beside the bench, on loopback and in a folder of its own, and ends with it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::{Failure, clock};

/// How long a program may take to begin.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running program. It is ended, and its folder removed, when this is dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    folder: Arc<TempDir>,
}

impl Program {
    /// Starts a command; what it says goes into the file `log` of its folder.
    ///
    /// # Errors
    /// There is no such program.
    pub fn start(mut command: Command, folder: impl Into<Arc<TempDir>>) -> Result<Self, Failure> {
        let folder = folder.into();
        let log = std::fs::File::create(folder.path().join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().map_err(|error| format!("{name}: {error}"))?;
        Ok(Self { child, folder })
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its folder, to be used after it.
    #[must_use]
    pub fn shared_folder(&self) -> Arc<TempDir> {
        Arc::clone(&self.folder)
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// It goes on for longer than a minute; then it is ended the hard way.
    pub fn end(self) -> Result<(), Failure> {
        Command::new("kill").arg(self.pid().to_string()).status()?;
        self.wait_for_end()
    }

    /// What it has said so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder().join("log")).unwrap_or_default()
    }

    /// Waits until something can be had of it.
    ///
    /// # Errors
    /// It ended, or took longer than a minute; with what it said.
    pub fn wait_for<T>(&mut self, mut look: impl FnMut(&Self) -> Option<T>) -> Result<T, Failure> {
        let begin = clock::now();
        loop {
            if let Some(found) = look(self) {
                return Ok(found);
            }
            let ended = self.child.try_wait()?;
            if ended.is_some() || begin.elapsed() > PATIENCE {
                return Err(format!("it did not begin ({ended:?}): {}", self.log()).into());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until it has ended, as it was asked to.
    ///
    /// # Errors
    /// It goes on for longer than a minute; then it is ended the hard way.
    pub fn wait_for_end(mut self) -> Result<(), Failure> {
        let begin = clock::now();
        while self.child.try_wait()?.is_none() {
            if begin.elapsed() > PATIENCE {
                return Err("it does not end".into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Waits until it takes connections at this port.
    ///
    /// # Errors
    /// It ended, or took longer than a minute.
    pub fn wait_for_port(&mut self, port: u16) -> Result<(), Failure> {
        self.wait_for(|_| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()).map(drop)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port on loopback that nobody uses now.
///
/// # Errors
/// There is none.
pub fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?.local_addr()?.port())
}

/// Such a port below 32768: Zabbix takes no other.
///
/// # Errors
/// There is none.
pub fn low_free_port() -> Result<u16, Failure> {
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    (20_000..32_768).find(is_free).ok_or_else(|| "no port is free below 32768".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_ends_at_once_is_an_error_with_what_it_said() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such setting; exit 3"]);
        let mut program = Program::start(command, tempfile::tempdir().unwrap()).unwrap();
        let error = program.wait_for(|_| None::<()>).unwrap_err().to_string();
        assert!(error.contains("no such setting"), "{error}");
    }
}
