//! The few things that an archive asks of an object store, over S3, Azure Blob Storage or a folder.
//!
//! An object is written once and never again: a name that is taken is an answer, not an error. Nothing here knows what
//! an object holds, and no secret is ever part of an error.

use crate::identity;
use bytes::Bytes;
use futures_util::StreamExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::{HttpClient, HttpConnector};
use object_store::local::LocalFileSystem;
use object_store::path::Path as Name;
use object_store::{ClientOptions, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload, RetryConfig};
use secrecy::{ExposeSecret as _, SecretString};
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// One call to a store, with all that it tries again by itself.
const CALL_MAX: Duration = Duration::from_mins(2);
/// One exchange over HTTP.
const EXCHANGE_MAX: Duration = Duration::from_mins(1);
/// An object larger than this is none of ours.
pub const OBJECT_BYTES_MAX: u64 = 256 << 20;
/// A walk through all names of one sort.
const WALK_MAX: Duration = Duration::from_mins(15);
/// Objects below one recording's name.
pub const OBJECTS_MAX: usize = 65_536;
/// Recordings of one archive that a search looks at.
const FOLDERS_MAX: usize = 4_194_304;
/// A file longer than this holds no secret.
const SECRET_BYTES_MAX: u64 = 16 << 10;
/// What is kept of a store's own words.
const WORDS_MAX: usize = 400;

/// Why a store did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store refused, cannot be reached, or does not answer in time.
    #[error("cannot {verb} `{name}`: {said}")]
    Failed {
        /// `put`, `get`, `list` or `remove`.
        verb: &'static str,
        /// The object.
        name: String,
        /// What the store said, shortened.
        said: String,
    },
    /// The store cannot be set up.
    #[error("the archive cannot be used: {0}")]
    Setup(String),
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// The object is new.
    Written,
    /// There is one of that name; it was left as it is.
    Exists,
}

/// A call that is under way.
pub type Call<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// An object store.
pub trait Store: Debug + Send + Sync {
    /// Writes an object that must not exist; all of it or nothing.
    fn put_new<'a>(&'a self, name: &'a str, bytes: Bytes) -> Call<'a, Put>;
    /// Reads an object; none when there is none.
    fn get<'a>(&'a self, name: &'a str) -> Call<'a, Option<Bytes>>;
    /// The objects directly or deeper below a folder's name, with their sizes, in the order of their names; more than
    /// [`OBJECTS_MAX`] are an error, never a part of them.
    fn list<'a>(&'a self, folder: &'a str) -> Call<'a, Vec<(String, u64)>>;
    /// The greatest name below a folder's name that is less than another, whatever their number.
    fn last<'a>(&'a self, folder: &'a str, before: Option<&'a str>) -> Call<'a, Option<String>>;
    /// The folders directly below a folder's name, in the order of their names.
    fn folders<'a>(&'a self, folder: &'a str) -> Call<'a, Vec<String>>;
    /// Removes an object; one that is gone is no error.
    fn remove<'a>(&'a self, name: &'a str) -> Call<'a, ()>;
}

/// Where an archive is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which kind of store.
    pub kind: Kind,
    /// What stands before every name; without slashes at its ends.
    pub prefix: String,
    /// The store's address, where it is not the provider's own.
    pub endpoint: Option<String>,
    /// The account (Azure) or the id of the access key (S3), where it is not the machine's own.
    pub account: Option<String>,
    /// The file of the account's key.
    pub secret: Option<PathBuf>,
}

/// A kind of store, and the container in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Amazon S3, or what speaks like it.
    S3 {
        /// The bucket.
        bucket: String,
        /// The region.
        region: Option<String>,
    },
    /// Azure Blob Storage.
    Azure {
        /// The container.
        container: String,
    },
    /// A folder, for example on a share.
    Folder(PathBuf),
}

impl Place {
    /// Reads `s3://BUCKET/PREFIX`, `azure://CONTAINER/PREFIX` or `file:///FOLDER`.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let named = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
        let (container, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_matches('/').to_owned();
        let kind = match scheme {
            "s3" if named(container) => Kind::S3 { bucket: container.to_owned(), region: None },
            "azure" if named(container) => Kind::Azure { container: container.to_owned() },
            "file" if rest.starts_with('/') => {
                let kind = Kind::Folder(PathBuf::from(rest));
                return Some(Self { kind, prefix: String::new(), endpoint: None, account: None, secret: None });
            }
            _ => return None,
        };
        let plain = prefix.is_empty() || prefix.split('/').all(|part| named(part) && part != "." && part != "..");
        plain.then_some(Self { kind, prefix, endpoint: None, account: None, secret: None })
    }

    /// Opens the store. What the place leaves out comes from the environment or from the machine's own identity, as the
    /// provider's tools have it.
    ///
    /// # Errors
    /// When the secret cannot be read or something that the store needs is missing.
    pub fn open(&self) -> Result<Arc<dyn Store>, StoreError> {
        let store: Box<dyn ObjectStore> = match &self.kind {
            Kind::S3 { bucket, region } => Box::new(self.s3(bucket, region.as_deref())?),
            Kind::Azure { container } => Box::new(self.azure(container)?),
            Kind::Folder(folder) => {
                let made = std::fs::create_dir_all(folder);
                made.map_err(|error| StoreError::Setup(format!("{}: {error}", folder.display())))?;
                Box::new(LocalFileSystem::new_with_prefix(folder).map_err(setup)?.with_fsync(true))
            }
        };
        Ok(Arc::new(Remote { store, prefix: self.prefix.clone() }))
    }

    fn s3(&self, bucket: &str, region: Option<&str>) -> Result<impl ObjectStore + use<>, StoreError> {
        let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retries());
        if let Some(region) = region {
            builder = builder.with_region(region);
        }
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
        }
        if let (Some(account), Some(secret)) = (&self.account, self.secret()?) {
            builder = builder.with_access_key_id(account).with_secret_access_key(secret.expose_secret());
        }
        builder.with_http_connector(Connector(http()?)).build().map_err(setup)
    }

    fn azure(&self, container: &str) -> Result<impl ObjectStore + use<>, StoreError> {
        let mut builder = MicrosoftAzureBuilder::from_env().with_container_name(container).with_retry(retries());
        if let Some(account) = &self.account {
            builder = builder.with_account(account);
        }
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint.clone()).with_allow_http(endpoint.starts_with("http://"));
        }
        if let Some(secret) = self.secret()? {
            builder = builder.with_access_key(secret.expose_secret());
        }
        builder.with_http_connector(Connector(http()?)).build().map_err(setup)
    }

    fn secret(&self) -> Result<Option<SecretString>, StoreError> {
        let Some(file) = &self.secret else { return Ok(None) };
        read_secret(file).map(Some).map_err(StoreError::Setup)
    }
}

/// The one line of a file that holds a secret.
pub(in crate::recording) fn read_secret(file: &Path) -> Result<SecretString, String> {
    let unreadable = |error: std::io::Error| format!("{}: {error}", file.display());
    if std::fs::metadata(file).map_err(unreadable)?.len() > SECRET_BYTES_MAX {
        return Err(format!("{} is too long for a secret", file.display()));
    }
    let bytes = zeroize::Zeroizing::new(std::fs::read(file).map_err(unreadable)?);
    let line = std::str::from_utf8(&bytes).ok().map(|text| text.trim_end_matches(['\r', '\n']));
    match line {
        Some(line) if !line.is_empty() && !line.contains(['\n', '\0']) => Ok(SecretString::from(line.to_owned())),
        Some(_) | None => Err(format!("{} does not hold one line of text", file.display())),
    }
}

fn http() -> Result<reqwest::Client, StoreError> {
    identity::client(EXCHANGE_MAX).map_err(|error| StoreError::Setup(error.to_string()))
}

/// Short: the archive tries again by itself, and says that it does.
fn retries() -> RetryConfig {
    RetryConfig { max_retries: 1, retry_timeout: EXCHANGE_MAX, ..RetryConfig::default() }
}

#[expect(clippy::needless_pass_by_value, reason = "the form that `map_err` takes")]
fn setup(error: object_store::Error) -> StoreError {
    StoreError::Setup(shortened(&error))
}

fn shortened(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    if let Some((end, _)) = text.char_indices().nth(WORDS_MAX) {
        text.truncate(end);
    }
    text
}

/// Has every exchange go through the gateway's own client: one TLS, one set of authorities.
#[derive(Debug)]
struct Connector(reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

#[derive(Debug)]
struct Remote {
    store: Box<dyn ObjectStore>,
    prefix: String,
}

impl Remote {
    fn name(&self, name: &str) -> Name {
        self.prefix.split('/').chain(name.split('/')).filter(|part| !part.is_empty()).collect()
    }
}

async fn bounded<T>(
    verb: &'static str,
    name: &str,
    call: impl Future<Output = object_store::Result<T>>,
) -> Result<T, StoreError> {
    within(CALL_MAX, verb, name, call).await
}

async fn within<T>(
    most: Duration,
    verb: &'static str,
    name: &str,
    call: impl Future<Output = object_store::Result<T>>,
) -> Result<T, StoreError> {
    let failed = |said: String| StoreError::Failed { verb, name: name.to_owned(), said };
    match tokio::time::timeout(most, call).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(failed(shortened(&error))),
        Err(_) => Err(failed("no answer in time".to_owned())),
    }
}

/// The part of a name that stands below a folder's.
fn below(folder: &Name, name: &Name) -> String {
    let parts = name.prefix_match(folder).into_iter().flatten();
    parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/")
}

fn too_many(folder: &str) -> StoreError {
    StoreError::Failed { verb: "list", name: folder.to_owned(), said: "there are too many objects".to_owned() }
}

impl Store for Remote {
    fn put_new<'a>(&'a self, name: &'a str, bytes: Bytes) -> Call<'a, Put> {
        Box::pin(async move {
            let path = self.name(name);
            let call = async {
                match self.store.put_opts(&path, PutPayload::from_bytes(bytes), PutMode::Create.into()).await {
                    Ok(_) => Ok(Put::Written),
                    // S3 has a name for each of the two ways to lose a race.
                    Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                        Ok(Put::Exists)
                    }
                    Err(error) => Err(error),
                }
            };
            bounded("put", name, call).await
        })
    }

    fn get<'a>(&'a self, name: &'a str) -> Call<'a, Option<Bytes>> {
        Box::pin(async move {
            let path = self.name(name);
            let call = async {
                let found = match self.store.get(&path).await {
                    Ok(found) => found,
                    Err(object_store::Error::NotFound { .. }) => return Ok(Some(None)),
                    Err(error) => return Err(error),
                };
                if found.meta.size > OBJECT_BYTES_MAX {
                    return Ok(None);
                }
                found.bytes().await.map(|bytes| Some(Some(bytes)))
            };
            let too_large = || StoreError::Failed { verb: "get", name: name.to_owned(), said: "too large".to_owned() };
            bounded("get", name, call).await?.ok_or_else(too_large)
        })
    }

    fn list<'a>(&'a self, folder: &'a str) -> Call<'a, Vec<(String, u64)>> {
        Box::pin(async move {
            let path = self.name(folder);
            let call = async {
                let mut found = Vec::new();
                let mut objects = self.store.list(Some(&path));
                while let Some(object) = objects.next().await {
                    let object = object?;
                    if found.len() >= OBJECTS_MAX {
                        return Ok(None);
                    }
                    found.push((below(&path, &object.location), object.size));
                }
                found.sort();
                Ok(Some(found))
            };
            bounded("list", folder, call).await?.ok_or_else(|| too_many(folder))
        })
    }

    fn last<'a>(&'a self, folder: &'a str, before: Option<&'a str>) -> Call<'a, Option<String>> {
        Box::pin(async move {
            let path = self.name(folder);
            let call = async {
                let mut last: Option<String> = None;
                let mut objects = self.store.list(Some(&path));
                while let Some(object) = objects.next().await {
                    let name = below(&path, &object?.location);
                    if before.is_none_or(|before| name.as_str() < before) {
                        last = last.max(Some(name));
                    }
                }
                Ok(last)
            };
            within(WALK_MAX, "list", folder, call).await
        })
    }

    fn folders<'a>(&'a self, folder: &'a str) -> Call<'a, Vec<String>> {
        Box::pin(async move {
            let path = self.name(folder);
            let call = async {
                let found = self.store.list_with_delimiter(Some(&path)).await?.common_prefixes;
                let mut names: Vec<String> = found.iter().map(|name| below(&path, name)).collect();
                names.sort();
                Ok(names)
            };
            let names = within(WALK_MAX, "list", folder, call).await?;
            if names.len() > FOLDERS_MAX { Err(too_many(folder)) } else { Ok(names) }
        })
    }

    fn remove<'a>(&'a self, name: &'a str) -> Call<'a, ()> {
        Box::pin(async move {
            let path = self.name(name);
            let call = async {
                match self.store.delete(&path).await {
                    Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                    Err(error) => Err(error),
                }
            };
            bounded("remove", name, call).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_others_refused() {
        let place = Place::parse("s3://acme-recordings/eu/gw-1/").unwrap();
        assert_eq!(place.kind, Kind::S3 { bucket: "acme-recordings".into(), region: None });
        assert_eq!(place.prefix, "eu/gw-1");
        assert_eq!(Place::parse("azure://recordings").unwrap().prefix, "");
        assert_eq!(Place::parse("file:///mnt/archive").unwrap().kind, Kind::Folder("/mnt/archive".into()));
        for text in ["", "s3://", "s3:///x", "s3://b/../x", "s3://b/a//c", "gs://b", "file://host/x", "azure:// /x"] {
            assert!(Place::parse(text).is_none(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_folder_writes_once_reads_lists_and_removes() {
        let temp = crate::recording::tests::TempFolder::new();
        let store = Place::parse(&format!("file://{}", temp.0.join("a").display())).unwrap().open().unwrap();
        let (one, two) = (Bytes::from_static(b"one"), Bytes::from_static(b"two"));
        assert_eq!(store.put_new("s/x/0", one.clone()).await.unwrap(), Put::Written);
        assert_eq!(store.put_new("s/x/0", two.clone()).await.unwrap(), Put::Exists);
        assert_eq!(store.put_new("s/y/0", two).await.unwrap(), Put::Written);
        assert_eq!(store.get("s/x/0").await.unwrap(), Some(one));
        assert_eq!(store.get("s/x/1").await.unwrap(), None);
        assert_eq!(store.list("s/x").await.unwrap(), [("0".to_owned(), 3)]);
        assert_eq!(store.list("s").await.unwrap(), [("x/0".to_owned(), 3), ("y/0".to_owned(), 3)]);
        assert_eq!(store.folders("s").await.unwrap(), ["x", "y"]);
        assert_eq!(store.folders("none").await.unwrap(), Vec::<String>::new());
        assert_eq!(store.last("s", None).await.unwrap().as_deref(), Some("y/0"));
        assert_eq!(store.last("s", Some("y/0")).await.unwrap().as_deref(), Some("x/0"));
        assert_eq!(store.last("s", Some("x/0")).await.unwrap(), None);
        store.remove("s/x/0").await.unwrap();
        store.remove("s/x/0").await.unwrap();
        assert_eq!(store.list("s/x").await.unwrap(), []);
    }
}
