//! Where the store is and how to get at it.

use std::path::PathBuf;

use super::read::Reader;
use crate::store::Access;

/// `jsonData.storeUrl`: where the runs live, a `file://` or `s3://` URL or an absolute path.
pub(in crate::plugin) const STORE_URL: &str = "storeUrl";
/// `jsonData.storeEndpoint`, `storeRegion` and `storePathStyle` (true or false): which S3 server, and how its buckets
/// are addressed.
const STORE_ENDPOINT: &str = "storeEndpoint";
const STORE_REGION: &str = "storeRegion";
const STORE_PATH_STYLE: &str = "storePathStyle";
/// `secureJsonData.storeAccessKey` and `storeSecretKey`: the credentials of an S3 store; without them the environment's.
pub(super) const STORE_ACCESS_KEY: &str = "storeAccessKey";
pub(super) const STORE_SECRET_KEY: &str = "storeSecretKey";

/// Keys of this section in `jsonData`.
pub(super) const KEYS: [&str; 4] = [STORE_URL, STORE_ENDPOINT, STORE_REGION, STORE_PATH_STYLE];
/// Those in `secureJsonData`.
pub(super) const SECURE: [&str; 2] = [STORE_ACCESS_KEY, STORE_SECRET_KEY];

/// Where a store is, as the settings say.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::plugin) enum Place {
    Folder(PathBuf),
    Bucket(String, Access),
}

/// Reads the section.
pub(super) fn place(mut reader: Reader<'_>) -> Result<Place, String> {
    let given = reader.text(STORE_URL, "file:///var/lib/assay");
    let access = access(&mut reader);
    let text = reader.done(given)?.unwrap_or_default();
    let path = text.strip_prefix("file://").unwrap_or(text);
    if path.is_empty() {
        return Err(format!("setting `{STORE_URL}` is not set: give the store's place, such as file:///var/lib/assay"));
    }
    if text.starts_with("s3://") {
        return Ok(Place::Bucket(text.to_owned(), access));
    }
    if path.contains("://") {
        return Err(format!("setting `{STORE_URL}` is `{text}`: only file:// and s3:// URLs can be read"));
    }
    if !path.starts_with('/') {
        return Err(format!("setting `{STORE_URL}` is `{path}`: give an absolute path, such as /var/lib/assay"));
    }
    Ok(Place::Folder(path.into()))
}

fn access(reader: &mut Reader<'_>) -> Access {
    Access {
        access_key: reader.secret(STORE_ACCESS_KEY),
        secret_key: reader.secret(STORE_SECRET_KEY),
        endpoint: reader.text(STORE_ENDPOINT, "http://minio:9000").map(str::to_owned),
        region: reader.text(STORE_REGION, "eu-central-1").map(str::to_owned),
        path_style: reader.flag(STORE_PATH_STYLE),
    }
}
