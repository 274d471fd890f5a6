//! Stores by their address: `sled:DIR` and `memory:`.

use std::io::Read;
use std::sync::Arc;

#[cfg(feature = "sled")]
use crate::backup;
use crate::backup::{BackupError, Summary};
use crate::embedded::{EngineStore, Options};
use crate::error::StoreError;
use crate::memory::MemoryEngine;
use crate::store::Store;

/// A store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The address is none of a store.
    #[error("'{0}' is no store (expected sled:DIR or memory:)")]
    Address(String),
    /// What is there cannot be opened.
    #[error("the store {address} cannot be opened")]
    Store {
        /// The address.
        address: String,
        /// Why.
        #[source]
        source: StoreError,
    },
}

/// A backup could not be restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The address is none where a store lasts.
    #[error("'{0}' is nowhere to restore to (expected sled:DIR)")]
    Address(String),
    /// The backup, or the place.
    #[error("the backup cannot be restored to {address}")]
    Backup {
        /// The address.
        address: String,
        /// Why.
        #[source]
        source: BackupError,
    },
}

/// Opens the store at an address: `sled:DIR`, or `memory:` for one that forgets everything at its end. Blocks until
/// it is ready.
///
/// # Errors
/// The address is none of a store, or what is there cannot be opened.
pub fn open(address: &str, options: Options) -> Result<Arc<dyn Store>, OpenError> {
    let failed = |source| OpenError::Store { address: address.to_owned(), source };
    match address.split_once(':') {
        Some(("memory", "")) => {
            let store = EngineStore::open(MemoryEngine::new(), options).map_err(failed)?;
            Ok(Arc::new(store))
        }
        Some(("sled", directory)) if !directory.is_empty() => open_sled(directory, options).map_err(failed),
        _ => Err(OpenError::Address(address.chars().take(255).collect())),
    }
}

/// Makes a store of a backup at an address, `sled:DIR`, where none is yet. Blocks.
///
/// # Errors
/// The address is none of a store that lasts, there is a store already, or the backup is none or not whole. What is
/// left of a restore that failed can't be opened as a store: remove it.
pub fn restore(address: &str, backup: impl Read) -> Result<Summary, RestoreError> {
    match address.split_once(':') {
        Some(("sled", directory)) if !directory.is_empty() => restore_sled(directory, backup)
            .map_err(|source| RestoreError::Backup { address: address.to_owned(), source }),
        _ => Err(RestoreError::Address(address.chars().take(255).collect())),
    }
}

#[cfg(feature = "sled")]
fn restore_sled(directory: &str, from: impl Read) -> Result<Summary, BackupError> {
    backup::restore(&crate::sled::SledEngine::open(directory)?, from)
}

#[cfg(not(feature = "sled"))]
fn restore_sled(_: &str, _: impl Read) -> Result<Summary, BackupError> {
    use crate::engine::{EngineError, EngineErrorKind};
    let what = "this program was built without the feature 'sled'";
    Err(EngineError::new(EngineErrorKind::Locked, what).into())
}

#[cfg(feature = "sled")]
fn open_sled(directory: &str, options: Options) -> Result<Arc<dyn Store>, StoreError> {
    let engine = crate::sled::SledEngine::open(directory).map_err(StoreError::Unreadable)?;
    Ok(Arc::new(EngineStore::open(engine, options)?))
}

#[cfg(not(feature = "sled"))]
fn open_sled(_: &str, _: Options) -> Result<Arc<dyn Store>, StoreError> {
    use crate::engine::{EngineError, EngineErrorKind};
    let what = "this program was built without the feature 'sled'";
    Err(StoreError::Unreadable(EngineError::new(EngineErrorKind::Locked, what)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vilicus_core::Timestamp;

    fn options() -> Options {
        Options::new(Timestamp::EPOCH, [7; 16])
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_would_be_one() {
        for address in ["", "sled", "sled:", "memory", "memory:x", "postgres://localhost/", "/var/lib"] {
            let error = open(address, options()).unwrap_err();
            assert!(matches!(error, OpenError::Address(_)), "{address}");
            assert!(error.to_string().contains("sled:DIR"), "{error}");
        }
        assert!(open("memory:", options()).is_ok());
    }

    #[cfg(feature = "sled")]
    #[test]
    fn a_directory_that_is_in_use_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let address = format!("sled:{}", directory.path().display());
        let first = open(&address, options()).unwrap();
        let error = open(&address, options()).unwrap_err();
        let OpenError::Store { source: StoreError::Unreadable(cause), .. } = error else {
            panic!("{error:?}");
        };
        assert_eq!(cause.kind(), crate::EngineErrorKind::Locked);
        drop(first);
        assert!(open(&address, options()).is_ok(), "free again as soon as the first is dropped");
    }
}
