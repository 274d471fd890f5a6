//! HTTPS by rustls: a certificate and its key from files, read again when they change.
//!
//! A renewed certificate is used for new connections within seconds; a broken file is reported and the old
//! certificate stays in use.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use vilicus_core::Timestamp;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// A certificate that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The certificate file holds no certificate in PEM form.
    #[error("{} holds no certificate in PEM form; give the full chain, the server's own first", path.display())]
    NoCertificate {
        /// Which file.
        path: PathBuf,
    },
    /// The key file holds no key in PEM form.
    #[error("{} holds no private key in PEM form", path.display())]
    NoKey {
        /// Which file.
        path: PathBuf,
    },
    /// The key does not belong to the certificate, or is of a kind that is not known.
    #[error("the key in {} does not fit the certificate", path.display())]
    Unfit {
        /// The file of the key.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

/// A certificate in use, and the files that it comes from.
#[derive(Debug)]
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    config: RwLock<Arc<ServerConfig>>,
    seen: Mutex<Files>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// They can't be read, or can't be used; see [`TlsError`].
    pub fn from_files(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Result<Self, TlsError> {
        let (certificate, key) = (certificate.into(), key.into());
        let files = Files::read(&certificate, &key)?;
        let config = files.config(&certificate, &key)?;
        Ok(Self { certificate, key, config: RwLock::new(config), seen: Mutex::new(files) })
    }

    /// Reads the files again and says whether they changed.
    ///
    /// # Errors
    /// They can't be used: then what was read before stays in use.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let files = Files::read(&self.certificate, &self.key)?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == files {
            return Ok(false);
        }
        let config = files.config(&self.certificate, &self.key)?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        *seen = files;
        Ok(true)
    }

    /// Reads the files again whenever they change; ends never.
    pub async fn watch(&self) {
        let mut broken = false;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            match self.reload() {
                Ok(true) => {
                    tracing::info!(certificate = %self.certificate.display(), "the certificate is renewed")
                }
                Err(error) if !broken => {
                    let error = vilicus_core::result::error_chain(&error);
                    tracing::error!(%error, "the changed certificate cannot be used; the old one stays in use");
                    broken = true;
                    continue;
                }
                _ => {}
            }
            broken = false;
        }
    }

    /// When the certificate in use ends; `None` when that cannot be read.
    #[must_use]
    pub fn ends_at(&self) -> Option<Timestamp> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let leaf = CertificateDer::pem_slice_iter(&seen.certificate).next()?.ok()?;
        let (_, certificate) = x509_parser::parse_x509_certificate(&leaf).ok()?;
        Some(Timestamp::from_millis(certificate.validity().not_after.timestamp().saturating_mul(1000)))
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&config))
    }
}

impl Files {
    fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| TlsError::Unreadable { path: path.to_owned(), source })
        };
        Ok(Self { certificate: read(certificate)?, key: read(key)? })
    }

    fn config(&self, certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.certificate).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        let chain = chain.ok_or_else(|| TlsError::NoCertificate { path: certificate.to_owned() })?;
        let private = PrivateKeyDer::from_pem_slice(&self.key);
        let private = private.map_err(|_| TlsError::NoKey { path: key.to_owned() })?;
        let unfit = |source| TlsError::Unfit { path: key.to_owned(), source };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unfit)?
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .map_err(unfit)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    }

    #[test]
    fn a_renewed_certificate_is_taken_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "one.example");
        let tls = Tls::from_files(folder.path().join("cert.pem"), folder.path().join("key.pem")).unwrap();
        assert!(!tls.reload().unwrap());
        assert!(tls.ends_at().unwrap() > Timestamp::EPOCH);
        write(folder.path(), "two.example");
        assert!(tls.reload().unwrap());
        std::fs::write(folder.path().join("cert.pem"), "junk").unwrap();
        assert!(matches!(tls.reload(), Err(TlsError::NoCertificate { .. })));
        tls.acceptor();
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "one.example");
        let other = rcgen::generate_simple_self_signed(["two.example".to_owned()]).unwrap();
        std::fs::write(folder.path().join("key.pem"), other.signing_key.serialize_pem()).unwrap();
        let error =
            Tls::from_files(folder.path().join("cert.pem"), folder.path().join("key.pem")).unwrap_err();
        assert!(matches!(error, TlsError::Unfit { .. }), "{error}");
    }
}
