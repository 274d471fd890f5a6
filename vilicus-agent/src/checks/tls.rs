//! TLS for the kinds that speak it: trust, the handshake, and what the certificate says.

use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use vilicus_core::Timestamp;

use super::connection::Fault;

/// Whom to believe.
#[derive(Debug, Clone, Default)]
pub(super) struct Trust {
    /// A PEM file with authorities to trust beside the public ones.
    pub(super) ca_file: Option<String>,
    /// Believe any certificate: the connection is encrypted, and may be with anybody.
    pub(super) dangerous_accept_any_certificate: bool,
}

/// Speaks TLS over a connection.
pub(super) async fn handshake(
    stream: TcpStream,
    host: &str,
    trust: &Trust,
) -> Result<TlsStream<TcpStream>, Fault> {
    let config = client_config(trust.clone()).await?;
    let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(bare);
    let name =
        name.map_err(|_| Fault::critical(format!("'{host}' is not a name that a certificate can have")))?;
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await.map_err(|error| handshake_fault(host, &error))
}

/// A new configuration for each handshake: one that is kept would resume sessions, and measure less.
async fn client_config(trust: Trust) -> Result<ClientConfig, Fault> {
    let provider = Arc::new(ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| Fault::unknown(format!("cannot set up TLS: {error}")))?;
    if trust.dangerous_accept_any_certificate {
        let verifier = Arc::new(DangerousAcceptAnyCertificate { provider });
        return Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth());
    }
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = trust.ca_file {
        let reading = tokio::task::spawn_blocking(move || add_authorities(roots, &path)).await;
        roots = reading.map_err(|error| Fault::unknown(format!("cannot read ca_file: {error}")))??;
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn add_authorities(mut roots: RootCertStore, path: &str) -> Result<RootCertStore, Fault> {
    let problem = |reason: String| Fault::unknown(format!("cannot use ca_file {path}: {reason}"));
    let pem = std::fs::read(path).map_err(|error| problem(error.to_string()))?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| problem(error.to_string()))?;
    if certificates.is_empty() {
        return Err(problem("there is no certificate in it".to_owned()));
    }
    for certificate in certificates {
        roots.add(certificate).map_err(|error| problem(error.to_string()))?;
    }
    Ok(roots)
}

fn handshake_fault(host: &str, error: &io::Error) -> Fault {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
    let Some(Error::InvalidCertificate(certificate)) = cause else {
        return Fault::critical(format!("no TLS with {host}: {error}"));
    };
    let reason = match certificate {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet".to_owned()
        }
        CertificateError::UnknownIssuer => "is not signed by an authority that is trusted here".to_owned(),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "is for another name".to_owned()
        }
        CertificateError::Revoked => "was revoked".to_owned(),
        other => format!("is not good: {other}"),
    };
    Fault::critical(format!("the certificate of {host} {reason}"))
}

/// Days until the other side's certificate expires; negative when it has. `None` when it can't be read.
pub(super) fn certificate_days(stream: &TlsStream<TcpStream>, now: Timestamp) -> Option<f64> {
    let certificate = stream.get_ref().1.peer_certificates()?.first()?;
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let expires_ms = certificate.validity().not_after.timestamp().saturating_mul(1000);
    Some(expires_ms.saturating_sub(now.as_millis()) as f64 / 86_400_000.0)
}

/// Believes any certificate, and still makes sure that the other side holds its key.
#[derive(Debug)]
struct DangerousAcceptAnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for DangerousAcceptAnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    /// A certificate for `localhost` that signs itself, and a server that shows it.
    pub(crate) struct TlsServer {
        pub(crate) listener: TcpListener,
        pub(crate) acceptor: TlsAcceptor,
        pub(crate) ca_file: tempfile::NamedTempFile,
    }

    impl TlsServer {
        pub(crate) async fn start() -> Self {
            let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            params.not_after = rcgen::date_time_ymd(2040, 1, 1);
            let key = rcgen::KeyPair::generate().unwrap();
            let certificate = params.self_signed(&key).unwrap();
            let ca_file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(ca_file.path(), certificate.pem()).unwrap();
            let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
            let config = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![certificate.der().clone()], key)
                .unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            Self { listener, acceptor: TlsAcceptor::from(Arc::new(config)), ca_file }
        }

        pub(crate) fn port(&self) -> u16 {
            self.listener.local_addr().unwrap().port()
        }

        pub(crate) fn ca_path(&self) -> String {
            self.ca_file.path().to_str().unwrap().to_owned()
        }
    }

    async fn shake(server: &TlsServer, host: &str, trust: &Trust) -> Result<TlsStream<TcpStream>, Fault> {
        let stream = TcpStream::connect(server.listener.local_addr().unwrap()).await.unwrap();
        let accept = async {
            let (stream, _) = server.listener.accept().await.unwrap();
            server.acceptor.accept(stream).await
        };
        tokio::join!(handshake(stream, host, trust), accept).0
    }

    #[tokio::test]
    async fn trust_decides_and_the_reason_is_told() {
        let server = TlsServer::start().await;
        let ca = Trust { ca_file: Some(server.ca_path()), ..Trust::default() };
        let any = Trust { dangerous_accept_any_certificate: true, ..Trust::default() };
        let stream = shake(&server, "localhost", &ca).await.unwrap();
        let days = certificate_days(&stream, Timestamp::from_millis(2_208_816_000_000)).unwrap();
        assert_eq!(days, 2.0, "two days before the year 2040");
        assert!(shake(&server, "whatever.example", &any).await.is_ok());
        for (host, trust, reason) in [
            ("localhost", Trust::default(), "the certificate of localhost is not signed by an authority"),
            ("other.example", ca, "the certificate of other.example is for another name"),
        ] {
            let result = shake(&server, host, &trust).await.map(|_| ()).unwrap_err().into_result();
            assert_eq!(result.status, Some(vilicus_core::Status::Critical));
            assert!(result.output.starts_with(reason), "{}", result.output);
        }
    }

    #[tokio::test]
    async fn a_ca_file_that_cannot_be_used_is_the_agents_own_mistake() {
        let empty = tempfile::NamedTempFile::new().unwrap();
        for path in ["/no/such/file", empty.path().to_str().unwrap()] {
            let trust = Trust { ca_file: Some(path.to_owned()), ..Trust::default() };
            let result = client_config(trust).await.unwrap_err().into_result();
            assert_eq!(result.status, Some(vilicus_core::Status::Unknown));
            assert!(result.output.starts_with(&format!("cannot use ca_file {path}: ")), "{}", result.output);
        }
    }
}
