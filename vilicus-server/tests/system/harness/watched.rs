//! A process that is there to be watched: it does nothing, under a name that no other process has.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};

static MADE: AtomicU32 = AtomicU32::new(0);

/// A program of a name of its own. Dropping it ends what runs of it.
#[derive(Debug)]
pub(crate) struct Watched {
    /// The name of the program, longer than the 15 bytes that the kernel keeps.
    pub(crate) name: String,
    program: PathBuf,
    running: Option<Child>,
}

impl Watched {
    /// Makes the program in `folder` and starts it.
    pub(crate) fn start(folder: &Path) -> Self {
        let name = format!("vilicus-watched-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let program = folder.join(&name);
        std::fs::copy("/bin/sleep", &program).unwrap();
        let mut watched = Self { name, program, running: None };
        watched.start_again();
        watched
    }

    /// Starts it again.
    pub(crate) fn start_again(&mut self) {
        self.running = Some(Command::new(&self.program).arg("600").spawn().unwrap());
    }

    /// Kills it by its process id.
    pub(crate) fn kill(&mut self) {
        let mut running = self.running.take().expect("the watched process runs");
        running.kill().unwrap();
        running.wait().unwrap();
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if self.running.is_some() {
            self.kill();
        }
    }
}
