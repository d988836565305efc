//! pgbouncer in session mode on a free port, for comparison.

use crate::fault::{Doing as _, Outcome};
use crate::postgres::Cluster;
use crate::postgres::unprivileged_user;
use crate::service::{Plan, Service, free_port, secret};
use crate::tools;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// A running pgbouncer.
#[derive(Debug)]
pub(super) struct Bouncer {
    pub(super) port: u16,
    folder: PathBuf,
    service: Service,
}

impl Bouncer {
    /// Starts one before a PostgreSQL.
    pub(super) fn start(cluster: &Cluster) -> Outcome<Self> {
        let program = crate::command::on_path("pgbouncer").ok_or_else(|| tools::missing("pgbouncer"))?;
        let user = unprivileged_user()?;
        let folder = std::env::temp_dir().join(format!("leasehold-pgbouncer-{}", secret()?));
        std::fs::create_dir(&folder).doing(|| format!("cannot make {}", folder.display()))?;
        let port = free_port()?;
        let password = &cluster.writer_password;
        let config = format!(
            "[databases]\nbench = host=127.0.0.1 port={} dbname=bench\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\npool_mode = session\n\
             max_client_conn = 100\ndefault_pool_size = 50\nserver_tls_sslmode = disable\nlog_connections = 0\n\
             log_disconnections = 0\nignore_startup_parameters = extra_float_digits\n",
            cluster.port,
            folder.join("users").display(),
        );
        std::fs::write(folder.join("users"), format!("\"gateway_rw\" \"{password}\"\n"))
            .and_then(|()| std::fs::write(folder.join("pgbouncer.ini"), config))
            .doing(|| "cannot write pgbouncer's files".to_owned())?;
        if let Some(user) = user {
            for path in [folder.clone(), folder.join("users"), folder.join("pgbouncer.ini")] {
                std::os::unix::fs::chown(&path, Some(user.uid), Some(user.gid))
                    .doing(|| format!("cannot give away {}", path.display()))?;
            }
        }
        let mut command = Command::new(program);
        command.arg(folder.join("pgbouncer.ini")).current_dir(&folder);
        let plan =
            Plan { name: "pgbouncer", command, folder: &folder, stop_signal: "INT", user, remove: Some(&folder) };
        let service = Service::start(&plan)?;
        service.ready_when(Duration::from_secs(20), || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok())?;
        Ok(Self { port, folder, service })
    }

    /// The process id.
    pub(super) const fn pid(&self) -> u32 {
        self.service.pid()
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        self.service.stop();
        drop(std::fs::remove_dir_all(&self.folder));
    }
}
