//! `backup` and `restore`: everything in a file, and a store made of it.

use std::path::{Path, PathBuf};

use vilicus_server::backup_file::{self, FileError};
use vilicus_server::clock::{Clock as _, SystemClock};
use vilicus_server::progress::Progress;
use vilicus_store::backup::Summary;

use crate::client::Client;
use crate::exit::Failure;
use crate::print;

/// Reads a backup of the server's store into a file.
pub(crate) async fn make(client: &Client, file: Option<PathBuf>) -> Result<(), Failure> {
    let file = file.unwrap_or_else(|| backup_file::usual_name(SystemClock::new().now()).into());
    let pieces = client.bytes("/api/v1/backup/").await?;
    let progress = Progress::bytes("backup", None);
    let saved = backup_file::save(pieces, &file, |bytes| progress.add(bytes)).await;
    drop(progress);
    let next = format!("restore it with 'vilicusctl restore {}', on the server's host", file.display());
    print::write(&words(&file, &saved.map_err(failed)?, &next))
}

/// Makes a store of a backup, on this host.
pub(crate) fn restore(file: &Path, store: &str) -> Result<(), Failure> {
    let total = backup_file::work_of_restore(file).map_err(failed)?;
    let progress = Progress::bytes("restore", Some(total));
    let restored = backup_file::restore(file, store, |bytes| progress.add(bytes));
    drop(progress);
    let next = format!("it is in {store} now; start it with 'vilicus-server serve --store {store}'");
    print::write(&words(file, &restored.map_err(failed)?, &next))
}

fn failed(error: FileError) -> Failure {
    Failure::new(vilicus_core::result::error_chain(&error))
}

fn words(file: &Path, summary: &Summary, next: &str) -> String {
    let (file, begun) = (file.display(), summary.begun);
    let (entries, bytes) = (summary.entries, summary.bytes);
    format!(
        "{file}: everything as it was at {begun}, {entries} records in {bytes} bytes; read back, nothing is broken\n{next}\n"
    )
}
