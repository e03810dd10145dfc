//! TLS: the certificate of the server, and whose certificates it takes.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio_rustls::TlsAcceptor;

use crate::base::disk;
use crate::serve::options::TlsFiles;

/// Reads the certificate and the key of a server.
///
/// # Errors
/// A file cannot be read or is not what it should be; the key is not that of the certificate.
pub fn configuration(files: &TlsFiles) -> Result<TlsAcceptor, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = certificates(&files.certificate)?;
    let key = disk::read(&files.key).map_err(|error| error.to_string())?;
    let odd = |why: String| {
        format!(
            "`{}` is not a private key in PEM: {why}",
            files.key.display()
        )
    };
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| odd(error.to_string()))?;
    let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match &files.client_authority {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let odd = |why: String| format!("`{}`: {why}", authority.display());
            let mut roots = RootCertStore::empty();
            for certificate in certificates(authority)? {
                let added = roots.add(certificate);
                added.map_err(|error| odd(error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = verifier.build().map_err(|error| odd(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| {
        let file = files.certificate.display();
        format!("`{file}` and its key cannot be used: {error}")
    })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = disk::read(path).map_err(|error| error.to_string())?;
    let odd = |why: String| format!("`{}` is not a certificate in PEM: {why}", path.display());
    let list: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let list = list.map_err(|error| odd(error.to_string()))?;
    match list.is_empty() {
        true => Err(odd("there is none in it".to_owned())),
        false => Ok(list),
    }
}
