//! `store backup` and `store restore`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use futures_util::stream;
use vilicus_core::result::error_chain;
use vilicus_server::backup_file::{self, FileError};
use vilicus_server::clock::{Clock as _, SystemClock};
use vilicus_server::progress::Progress;
use vilicus_store::Store;
use vilicus_store::backup::Summary;

use crate::access::Access;
use crate::args::DataArgs;
use crate::exit::Failure;
use crate::{files, store};

/// `store backup FILE`: over the API of a server that runs, else from the store itself.
pub(crate) async fn make(data: &DataArgs, file: &Path) -> Result<(), Failure> {
    let progress = Progress::bytes("backup", None);
    let saved = match Access::find(&files::settings(data)?).await? {
        Access::Running(server) => {
            backup_file::save(server.backup().await?, file, |bytes| progress.add(bytes)).await
        }
        Access::Alone(store) => {
            let saved = save_alone(store.as_ref(), file, &progress).await;
            store::close(store.as_ref()).await?;
            saved?
        }
    };
    drop(progress);
    say(
        file,
        &saved.map_err(failed)?,
        &format!("restore it with 'vilicus-server store restore {}'", file.display()),
    );
    Ok(())
}

async fn save_alone(
    store: &dyn Store,
    file: &Path,
    progress: &Progress,
) -> Result<Result<Summary, FileError>, Failure> {
    let backup = store.backup(SystemClock::new().now()).await;
    let backup = backup.map_err(|error| Failure::store(error_chain(&error)))?;
    let pieces = stream::unfold(backup, |mut backup| async { Some((backup.next().await?, backup)) });
    Ok(backup_file::save(pieces, file, |bytes| progress.add(bytes)).await)
}

/// `store restore FILE`: fills a data directory that holds no store.
pub(crate) async fn restore(data: &DataArgs, file: &Path) -> Result<(), Failure> {
    let settings = files::settings(data)?;
    let (path, address): (PathBuf, String) = (file.to_owned(), settings.store.to_string());
    if let Some(dir) = files::data_dir(&settings.store) {
        store::make_dir(&dir)?;
    }
    let work = move || {
        let progress = Progress::bytes("restore", Some(backup_file::work_of_restore(&path)?));
        backup_file::restore(&path, &address, |bytes| progress.add(bytes))
    };
    let restored = tokio::task::spawn_blocking(work).await;
    let restored = restored.map_err(|error| Failure::because("the restore ended at once", &error))?;
    let address = settings.store.to_string();
    let next = format!("it is in {address} now; start it with 'vilicus-server serve --store {address}'");
    say(file, &restored.map_err(failed)?, &next);
    Ok(())
}

fn failed(error: FileError) -> Failure {
    Failure::store(error_chain(&error))
}

fn say(file: &Path, summary: &Summary, next: &str) {
    let (entries, bytes, begun) = (summary.entries, summary.bytes, summary.begun);
    let file = file.display();
    // A closed pipe is the reader's choice.
    let _ = writeln!(
        std::io::stdout(),
        "{file}: everything as it was at {begun}, {entries} records in {bytes} bytes; read back, nothing is broken\n{next}"
    );
}
