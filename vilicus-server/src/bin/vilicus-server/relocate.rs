//! `store migrate` and `store compact`: a store copied to another place, or in its own.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use vilicus_core::result::error_chain;
use vilicus_server::Settings;
use vilicus_server::clock::{Clock as _, SystemClock};
use vilicus_server::progress::Progress;
use vilicus_server::settings::Layer;
use vilicus_store::Store;
use vilicus_store::backup::Summary;

use crate::access::Running;
use crate::args::DataArgs;
use crate::exit::Failure;
use crate::{files, store};

/// `store migrate`: everything of one store, in another place.
pub(crate) async fn migrate(from: &str, to: &str) -> Result<(), Failure> {
    let (from, to) = (at(from)?, at(to)?);
    let from_store = alone(&from).await?;
    if let Some(dir) = files::data_dir(&to.store) {
        store::make_dir(&dir)?;
    }
    let copied = copy(from_store.as_ref(), &to.store.to_string()).await;
    store::close(from_store.as_ref()).await?;
    let (summary, to) = (copied?, to.store);
    let entries = summary.entries;
    // A closed pipe is the reader's choice, here and below.
    let _ = writeln!(
        std::io::stdout(),
        "{entries} records are in {to} now; start it with 'vilicus-server serve --store {to}'"
    );
    Ok(())
}

/// `store compact`: the same store in new files. It is whole at every moment: the new files take the place of the old
/// ones in one step.
pub(crate) async fn compact(data: &DataArgs) -> Result<(), Failure> {
    let settings = files::settings(data)?;
    let old = alone(&settings).await?;
    let Some(dir) = files::data_dir(&settings.store) else {
        return Err(Failure::new("a store in memory has no files"));
    };
    let before = old.health().await.bytes;
    let beside = beside(&dir);
    remove(&beside)?;
    store::make_dir(&beside)?;
    let copied = copy(old.as_ref(), &format!("sled:{}", beside.display())).await;
    store::close(old.as_ref()).await?;
    if let Err(failure) = copied {
        remove(&beside)?;
        return Err(failure);
    }
    swap(&beside, &dir)?;
    let compacted = store::open_existing(&settings).await?;
    let after = compacted.health().await.bytes;
    store::close(compacted.as_ref()).await?;
    remove(&beside)?;
    let _ = writeln!(std::io::stdout(), "{} had {before} bytes and has {after}", dir.display());
    Ok(())
}

/// The settings of a store at this address.
fn at(address: &str) -> Result<Settings, Failure> {
    files::resolve(Layer { store: Some(address.to_owned()), ..Layer::default() }, Layer::default())
}

/// The store, when no server has it.
async fn alone(settings: &Settings) -> Result<Arc<dyn Store>, Failure> {
    if Running::find(settings).await?.is_some() {
        let store = &settings.store;
        return Err(Failure::new(format!(
            "a server runs on {store}; stop it first, and what it would write is not lost"
        )));
    }
    store::open_existing(settings).await
}

async fn copy(from: &dyn Store, to: &str) -> Result<Summary, Failure> {
    let backup = from.backup(SystemClock::new().now()).await;
    let backup = backup.map_err(|error| Failure::store(error_chain(&error)))?;
    let to = to.to_owned();
    let work = move || {
        let progress = Progress::bytes("copy", None);
        vilicus_store::url::restore(&to, progress.reading(backup))
    };
    let copied = tokio::task::spawn_blocking(work).await;
    let copied = copied.map_err(|error| Failure::because("the copy ended at once", &error))?;
    copied.map_err(|error| Failure::store(error_chain(&error)))
}

/// Where the new files are made: in the same file system.
fn beside(dir: &Path) -> PathBuf {
    let dir = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    let mut name = dir.into_os_string();
    name.push(".compact");
    PathBuf::from(name)
}

/// Puts the new store where the old one is, with the files that are none of the store's.
fn swap(new: &Path, old: &Path) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::store(format!("cannot put {} in the place of {}: {error}", new.display(), old.display()))
    };
    for entry in fs::read_dir(old).map_err(|error| failed(&error))? {
        let entry = entry.map_err(|error| failed(&error))?;
        let to = new.join(entry.file_name());
        if entry.path().is_file() && !to.exists() {
            fs::copy(entry.path(), to).map_err(|error| failed(&error))?;
        }
    }
    renameat_with(CWD, new, CWD, old, RenameFlags::EXCHANGE).map_err(|error| failed(&error))?;
    let parent = old.canonicalize().ok().and_then(|old| Some(old.parent()?.to_owned()));
    let synced = parent.map_or(Ok(()), |parent| fs::File::open(parent)?.sync_all());
    synced.map_err(|error| failed(&error))
}

fn remove(dir: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::store(format!("cannot remove {}: {error}", dir.display())))
        }
        _ => Ok(()),
    }
}
