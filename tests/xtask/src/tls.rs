//! Certificates for one run, made by the `openssl` program: an authority, and a server's certificate for this machine.

use crate::command::must;
use crate::fault::{Doing as _, Outcome};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Paths of what was made.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// What clients trust.
    pub ca: PathBuf,
    /// The server's certificate, for `localhost` and 127.0.0.1.
    pub certificate: PathBuf,
    /// The server's key.
    pub key: PathBuf,
}

/// Makes both in a folder.
pub fn make(folder: &Path) -> Outcome<Certificates> {
    std::fs::create_dir_all(folder).doing(|| format!("cannot make {}", folder.display()))?;
    let path = |name: &str| folder.join(name);
    std::fs::write(
        path("server.ext"),
        "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:127.0.0.2,IP:127.0.0.3,IP:127.0.0.4\nbasicConstraints=critical,CA:FALSE\n\
         keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n",
    )
    .doing(|| "cannot write a certificate's extensions".to_owned())?;
    let openssl = |arguments: &[&str]| {
        let mut command = Command::new("openssl");
        command.args(arguments).current_dir(folder);
        must(&mut command)
    };
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-sha256"];
    openssl(
        &[
            &["req", "-x509"],
            &key[..],
            &["-days", "30", "-subj", "/CN=Leasehold development authority", "-keyout", "ca.key", "-out", "ca.crt"],
            &["-addext", "keyUsage=critical,keyCertSign"],
        ]
        .concat(),
    )?;
    openssl(
        &[&["req"], &key[..], &["-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr"]].concat(),
    )?;
    openssl(&[
        "x509",
        "-req",
        "-in",
        "server.csr",
        "-CA",
        "ca.crt",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-days",
        "30",
        "-sha256",
        "-extfile",
        "server.ext",
        "-out",
        "server.crt",
    ])?;
    Ok(Certificates { ca: path("ca.crt"), certificate: path("server.crt"), key: path("server.key") })
}
