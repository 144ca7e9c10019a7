//! A certificate for the simulated gateway, for clients that speak nothing but TLS.

use std::fs;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::error::{ToolError, chain};

/// Writes a new issuer and a certificate of its into `dir`; gives the certificate chain and its key back, as PEM.
pub(super) fn make(dir: &Path) -> Result<(Vec<u8>, Vec<u8>), ToolError> {
    let made = generate().map_err(|error| ToolError::failed("cannot make a certificate", &error))?;
    let write = || {
        fs::create_dir_all(dir)?;
        fs::write(dir.join(CA), &made.ca)?;
        fs::write(dir.join("cert.pem"), &made.chain)?;
        fs::write(dir.join("key.pem"), &made.key)
    };
    write().map_err(|error| {
        let error = chain(&error);
        ToolError::Usage(format!("cannot write to `{}`: {error}; give a directory", dir.display()))
    })?;
    Ok((made.chain.into_bytes(), made.key.into_bytes()))
}

struct Made {
    ca: String,
    chain: String,
    key: String,
}

fn generate() -> Result<Made, rcgen::Error> {
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    ca.distinguished_name.push(DnType::CommonName, "voxline simulated gateway, for tests only");
    let ca_key = KeyPair::generate()?;
    let ca_certificate = ca.self_signed(&ca_key)?;
    let issuer = Issuer::new(ca, ca_key);

    let mut server = CertificateParams::new(NAMES.map(str::to_owned))?;
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // Python from 3.13 on refuses a certificate that does not name its issuer's key.
    server.use_authority_key_identifier_extension = true;
    server.distinguished_name.push(DnType::CommonName, NAMES[0]);
    let server_key = KeyPair::generate()?;
    let certificate = server.signed_by(&server_key, &issuer)?;
    Ok(Made {
        ca: ca_certificate.pem(),
        chain: certificate.pem() + &ca_certificate.pem(),
        key: server_key.serialize_pem(),
    })
}

/// The file a client has to trust.
pub(super) const CA: &str = "ca.pem";
/// Where a test dials, and where the vendor's own clients do, whose host names are built in.
const NAMES: [&str; 5] = ["localhost", "127.0.0.1", "::1", "api.slng.ai", "*.api.slng.ai"];
