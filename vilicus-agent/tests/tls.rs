//! HTTPS against a certificate authority of one's own.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall end here")]

mod server;

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use server::{Server, TOKEN};
use tokio_rustls::TlsAcceptor;
use vilicus_agent::transport::{HttpOptions, TransportError};
use vilicus_agent::{HttpTransport, Transport as _};
use vilicus_core::result::error_chain;

/// An authority's certificate as PEM, and a server that shows one by it for `localhost`.
fn authority_and_server() -> (String, TlsAcceptor) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    (authority.pem(), TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test]
async fn a_server_is_trusted_by_its_authority_alone() {
    let (authority, tls) = authority_and_server();
    let server = Server::start_with(Vec::new(), Some(tls)).await;
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, authority).unwrap();

    let mut options = HttpOptions::default();
    let stranger = HttpTransport::new(&server.url(), &TOKEN.into(), options.clone()).unwrap();
    let error = stranger.agent().await.unwrap_err();
    assert!(matches!(error, TransportError::Unreachable { .. }));
    assert!(error_chain(&error).contains("certificate"), "{}", error_chain(&error));
    assert!(!error_chain(&error).contains(TOKEN));
    assert!(server.state().requests.is_empty(), "nothing was sent to an untrusted server");

    options.ca_file = Some(ca_file);
    let friend = HttpTransport::new(&server.url(), &TOKEN.into(), options).unwrap();
    for _ in 0..2 {
        assert_eq!(friend.agent().await.unwrap().value.name, "web-1");
    }
}
