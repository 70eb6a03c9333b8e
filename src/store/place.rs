//! Where a store lives: a folder of this machine, or a bucket of an S3 server.
//!
//! `s3://bucket/prefix` is spoken to with path-style addresses unless told otherwise, as MinIO, Garage and their kin
//! want it. What the caller does not say comes from the variables that every S3 client reads (`AWS_ENDPOINT_URL`,
//! `AWS_REGION`, `AWS_ACCESS_KEY_ID`, …). Without any credentials the store is refused at once: the search for a cloud's
//! metadata service would only end in a timeout.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::prefix::PrefixStore;
use object_store::{ClientOptions, ObjectStore, RetryConfig};

use crate::hash;
use crate::http::{self, Secret};

/// Folder of this machine that keeps the journals of runs whose store is a bucket.
pub const STATE_VARIABLE: &str = "ASSAY_STATE";

/// Any of these says where credentials come from.
const CREDENTIALS: [&str; 5] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
];

/// How long one request may take, and how long it is tried again.
const REQUEST: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(5);
const RETRIES: RetryConfig = RetryConfig {
    backoff: object_store::BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(2),
        base: 2.0,
    },
    max_retries: 3,
    retry_timeout: Duration::from_secs(20),
};

/// How to get at an S3 server; what is not set is looked for in the environment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Access {
    /// URL of the server, for anything but Amazon's own.
    pub endpoint: Option<String>,
    /// Region; most servers of one's own take any.
    pub region: Option<String>,
    /// Id of the access key.
    pub access_key: Option<Secret>,
    /// The access key itself.
    pub secret_key: Option<Secret>,
    /// Whether the bucket stands in the path of an address (the default) or in its host name.
    pub path_style: Option<bool>,
}

/// An opened place.
pub(super) struct Place {
    pub(super) url: String,
    pub(super) objects: Arc<dyn ObjectStore>,
    /// Where journals lie.
    pub(super) folder: PathBuf,
    /// Whether it is a bucket.
    pub(super) bucket: bool,
}

/// Opens a path or a `file://` or `s3://` URL; the reason of a refusal is for a person. A folder must exist unless it
/// may be created.
pub(super) fn open(url: &str, access: &Access, create: bool) -> Result<Place, String> {
    match url.split_once("://") {
        None => local(Path::new(url), create),
        Some(("file", path)) => local(Path::new(path), create),
        Some(("s3", place)) => bucket(place, access),
        Some((scheme, _)) => Err(format!("`{scheme}` is not supported: use a path, file:// or s3://")),
    }
}

fn local(path: &Path, create: bool) -> Result<Place, String> {
    if create {
        std::fs::create_dir_all(path).map_err(|error| error.to_string())?;
    }
    let folder = std::path::absolute(path).map_err(|error| error.to_string())?;
    if !folder.is_dir() {
        return Err("there is no such folder".to_owned());
    }
    // What was published stays published, also if the machine loses its power.
    let objects = LocalFileSystem::new_with_prefix(&folder).map_err(|error| error.to_string())?.with_fsync(true);
    Ok(Place { url: format!("file://{}", folder.display()), objects: Arc::new(objects), folder, bucket: false })
}

fn bucket(place: &str, access: &Access) -> Result<Place, String> {
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    if bucket.is_empty() {
        return Err("it names no bucket: write s3://BUCKET or s3://BUCKET/PREFIX".to_owned());
    }
    let prefix = Key::parse(prefix.trim_end_matches('/')).map_err(|error| error.to_string())?;
    http::install_tls();
    let objects = builder(bucket, access)?.build().map_err(|error| error.to_string())?;
    let url = format!("s3://{}", place.trim_end_matches('/'));
    let folder = state_folder()?.join(&hash::sha256(&url)[..16]);
    let objects: Arc<dyn ObjectStore> =
        if prefix.as_ref().is_empty() { Arc::new(objects) } else { Arc::new(PrefixStore::new(objects, prefix)) };
    Ok(Place { url, objects, folder, bucket: true })
}

fn builder(bucket: &str, access: &Access) -> Result<AmazonS3Builder, String> {
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(RETRIES);
    let endpoint = access.endpoint.clone().or_else(|| set("AWS_ENDPOINT_URL_S3")).or_else(|| set("AWS_ENDPOINT_URL"));
    let mut options = ClientOptions::new().with_timeout(REQUEST).with_connect_timeout(CONNECT);
    if let Some(endpoint) = endpoint {
        // Plain HTTP is what a person asks for by writing it.
        options = options.with_allow_http(endpoint.starts_with("http://"));
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(region) = &access.region {
        builder = builder.with_region(region);
    }
    if let Some(path_style) = access.path_style {
        builder = builder.with_virtual_hosted_style_request(!path_style);
    }
    match (&access.access_key, &access.secret_key) {
        (Some(key), Some(secret)) => {
            builder = builder.with_access_key_id(key.expose()).with_secret_access_key(secret.expose());
        }
        (None, None) if CREDENTIALS.iter().any(|variable| set(variable).is_some()) => {}
        (None, None) => return Err("there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or in Grafana `storeAccessKey` \
             and `storeSecretKey`"
            .to_owned()),
        _ => return Err("an access key has two parts, and one of them is missing".to_owned()),
    }
    Ok(builder.with_client_options(options))
}

fn set(variable: &str) -> Option<String> {
    env::var(variable).ok().filter(|value| !value.is_empty())
}

/// The folder for what only this machine needs to know, after the XDG base directories.
fn state_folder() -> Result<PathBuf, String> {
    let home = || Some(PathBuf::from(set("HOME")?).join(".local/state"));
    let folder = set(STATE_VARIABLE).map(PathBuf::from);
    let folder = folder.or_else(|| Some(set("XDG_STATE_HOME").map(PathBuf::from).or_else(home)?.join("assay")));
    folder.ok_or_else(|| format!("there is no folder for journals: set {STATE_VARIABLE}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str, access: &Access) -> String {
        open(url, access, false).err().unwrap_or_else(|| panic!("{url} was opened"))
    }

    #[test]
    fn a_place_that_cannot_be_is_refused_with_the_way_out() {
        let access = Access::default();
        assert!(refused("gs://bucket", &access).contains("file:// or s3://"));
        assert!(refused("s3:///prefix", &access).contains("s3://BUCKET"));
        let half = Access { access_key: Some(Secret::new("k")), ..Access::default() };
        assert!(refused("s3://bucket", &half).contains("two parts"));
    }

    #[test]
    fn a_folder_is_created_only_where_it_may_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        refused(&path.display().to_string(), &Access::default());
        assert!(!path.exists());
        assert!(open(&path.display().to_string(), &Access::default(), true).is_ok());
    }
}
