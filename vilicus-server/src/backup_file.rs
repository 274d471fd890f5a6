//! A backup as a file: written beside its place, read back, and only then put there.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use vilicus_core::Timestamp;
//! let name = vilicus_server::backup_file::usual_name(Timestamp::from_millis(1_795_348_800_000));
//! assert_eq!(name, "vilicus-2026-11-22T120000Z.backup");
//! # Ok(())
//! # }
//! ```

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use futures_util::{Stream, StreamExt as _};
use vilicus_core::Timestamp;
use vilicus_store::backup::{self, BackupError, Summary};
use vilicus_store::url::{self, RestoreError};

/// A backup could not be kept in a file, or the file is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// What makes the backup failed.
    #[error("the backup broke off; {} is as it was", path.display())]
    Source {
        /// Where the backup was to go.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file can't be written or read.
    #[error("{} cannot be {what}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// `written`, or `read`.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What is in the file is no whole backup.
    #[error("{} is no backup to rely on", path.display())]
    Backup {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: BackupError,
    },
    /// It can't be restored there.
    #[error("{} was not restored", path.display())]
    Restore {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: RestoreError,
    },
}

/// What a backup that is made at this moment is usually called.
#[must_use]
pub fn usual_name(now: Timestamp) -> String {
    let text: String = now.to_string().chars().filter(|c| *c != ':').collect();
    let seconds = text.split('.').next().unwrap_or(&text);
    format!("vilicus-{}Z.backup", seconds.trim_end_matches('Z'))
}

/// Writes a backup to a file that only its owner can read, and reads it back. What was there before stays until the
/// new one is whole. `progress` hears how many bytes came.
///
/// # Errors
/// The backup breaks off, the file can't be written, or what was written is not what was sent.
pub async fn save<P, E>(
    pieces: impl Stream<Item = Result<P, E>>,
    path: &Path,
    mut progress: impl FnMut(u64),
) -> Result<Summary, FileError>
where
    P: AsRef<[u8]>,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let part = Part::new(path)?;
    let failed = |source| FileError::File { path: part.path.clone(), what: "written", source };
    let mut file = &part.file;
    let mut pieces = std::pin::pin!(pieces);
    while let Some(piece) = pieces.next().await {
        let piece =
            piece.map_err(|error| FileError::Source { path: path.to_owned(), source: error.into() })?;
        file.write_all(piece.as_ref()).map_err(failed)?;
        progress(piece.as_ref().len() as u64);
    }
    part.file.sync_all().map_err(failed)?;
    let summary = verify(&part.path, |_| ())?;
    part.keep(path)?;
    Ok(summary)
}

/// Reads the backup in a file to its end, and says what it holds. Blocks. `progress` hears how many bytes were read.
///
/// # Errors
/// The file can't be read, or is no whole backup.
pub fn verify(path: &Path, progress: impl FnMut(u64)) -> Result<Summary, FileError> {
    let from = open(path, progress)?;
    backup::verify(from).map_err(|source| FileError::Backup { path: path.to_owned(), source })
}

/// Makes a store, `sled:DIR`, of the backup in a file. Blocks. The file is read to its end before anything is written.
///
/// # Errors
/// The file can't be read or is no whole backup, or there is a store already.
pub fn restore(path: &Path, store: &str, mut progress: impl FnMut(u64)) -> Result<Summary, FileError> {
    verify(path, &mut progress)?;
    let from = open(path, progress)?;
    url::restore(store, from).map_err(|source| FileError::Restore { path: path.to_owned(), source })
}

/// How many bytes [`restore`] will tell its `progress` of.
///
/// # Errors
/// The file can't be looked at.
pub fn work_of_restore(path: &Path) -> Result<u64, FileError> {
    let failed = |source| FileError::File { path: path.to_owned(), what: "read", source };
    Ok(2 * fs::metadata(path).map_err(failed)?.len())
}

fn open(path: &Path, progress: impl FnMut(u64)) -> Result<impl Read, FileError> {
    let failed = |source| FileError::File { path: path.to_owned(), what: "read", source };
    let file = File::open(path).map_err(failed)?;
    Ok(BufReader::with_capacity(256 * 1024, Counted { file, progress }))
}

/// A file that tells how many bytes were read of it.
struct Counted<P> {
    file: File,
    progress: P,
}

impl<P: FnMut(u64)> Read for Counted<P> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(into)?;
        (self.progress)(read as u64);
        Ok(read)
    }
}

/// A file in the making, removed unless it is kept.
struct Part {
    path: PathBuf,
    file: File,
    is_kept: bool,
}

impl Part {
    fn new(of: &Path) -> Result<Self, FileError> {
        let mut name = OsString::from(of.as_os_str());
        name.push(".part");
        let path = PathBuf::from(name);
        let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        match opened {
            Ok(file) => Ok(Self { path, file, is_kept: false }),
            Err(source) => Err(FileError::File { path, what: "written", source }),
        }
    }

    fn keep(mut self, as_path: &Path) -> Result<(), FileError> {
        let failed = |source| FileError::File { path: as_path.to_owned(), what: "written", source };
        fs::rename(&self.path, as_path).map_err(failed)?;
        self.is_kept = true;
        let folder = as_path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = File::open(folder.unwrap_or(Path::new("."))).map_err(failed)?;
        folder.sync_all().map_err(failed)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_kept {
            // Nobody misses it, and nobody can be told.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    async fn save_all(pieces: Vec<Result<Vec<u8>, &'static str>>, path: &Path) -> Result<Summary, FileError> {
        save(stream::iter(pieces), path, |_| ()).await
    }

    #[tokio::test]
    async fn what_was_there_stays_until_the_new_one_is_whole() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("nightly.backup");
        fs::write(&path, "yesterday's").unwrap();
        let broken = save_all(vec![Ok(b"vilicus".to_vec()), Err("the line broke")], &path).await;
        assert!(matches!(broken, Err(FileError::Source { .. })), "{broken:?}");
        let no_backup = save_all(vec![Ok(b"a login page".to_vec())], &path).await;
        assert!(matches!(no_backup, Err(FileError::Backup { source: BackupError::NotABackup, .. })));
        assert_eq!(fs::read(&path).unwrap(), b"yesterday's");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "no part is left");
    }

    #[test]
    fn what_cannot_be_written_or_read_is_named() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("nowhere/at.backup");
        let error = verify(&path, |_| ()).unwrap_err();
        assert!(error.to_string().contains("nowhere/at.backup"), "{error}");
        assert!(restore(&path, "sled:x", |_| ()).is_err());
        assert!(!Path::new("x").exists());
    }
}
