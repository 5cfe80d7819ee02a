//! Opens buckets and containers with the credentials that the tools of their clouds use.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, Checksum};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{BackoffConfig, ObjectStore, RetryConfig};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::aws_profile::AwsProfile;
use super::object::ObjectStorage;
use super::object_http::HyperConnector;
use super::{Patience, Store, StoreOptions};
use crate::config::store_url::{StoreKind, StoreUrl};
use crate::error::{self, Error, Result};

/// Address at which clouds give credentials to the machines in them.
const METADATA: &str = "169.254.169.254:80";
const METADATA_LIMIT: Duration = Duration::from_secs(1);

/// Opens a bucket or container.
pub(super) async fn open(url: &StoreUrl, options: &StoreOptions) -> Result<Arc<dyn Store>> {
    let http = HyperConnector::new()?;
    let inner: Box<dyn ObjectStore> = match url.kind {
        StoreKind::Azure => azure(url, options, http).await?,
        StoreKind::Google => google(url, options, http).await?,
        StoreKind::S3 | StoreKind::File => s3(url, options, http).await?,
    };
    Ok(Arc::new(ObjectStorage { url: url.clone(), inner }))
}

impl StoreOptions {
    fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn is_any_set(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.variable(name).is_some())
    }

    /// Variables that begin so, in the spelling of the library's keys.
    fn of_cloud<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (String, &'a str)> {
        let ours =
            self.variables.iter().filter(move |(name, value)| name.starts_with(prefix) && !value.is_empty());
        ours.map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()))
    }

    fn retry(&self) -> RetryConfig {
        let (max_retries, minutes) = match self.patience {
            Patience::Short => (4, 1),
            Patience::Long => (usize::MAX, 3),
        };
        let init_backoff = Duration::from_millis(200);
        let backoff = BackoffConfig { init_backoff, ..BackoffConfig::default() };
        RetryConfig { backoff, max_retries, retry_timeout: Duration::from_mins(minutes) }
    }
}

/// Refuses to begin without credentials, unless the machine may get some from its cloud at `metadata`.
async fn need_credentials(url: &StoreUrl, known: bool, metadata: Option<&str>, hint: &str) -> Result<()> {
    if known {
        return Ok(());
    }
    if let Some(metadata) = metadata
        && timeout(METADATA_LIMIT, TcpStream::connect(metadata)).await.is_ok_and(|done| done.is_ok())
    {
        return Ok(());
    }
    Err(error::usage(format!("there are no credentials for {url}")).hint(hint))
}

async fn s3(url: &StoreUrl, options: &StoreOptions, http: HyperConnector) -> Result<Box<dyn ObjectStore>> {
    let profile = AwsProfile::read(options)?;
    let own_keys = options.variable("AWS_ACCESS_KEY_ID").is_some();
    let elsewhere = [
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_METADATA_ENDPOINT",
        "AWS_SKIP_SIGNATURE",
    ];
    let known = own_keys || profile.keys.is_some() || options.is_any_set(&elsewhere);
    need_credentials(
        url,
        known,
        Some(METADATA).filter(|_| options.variable("AWS_EC2_METADATA_DISABLED") != Some("true")),
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE for one of ~/.aws/credentials",
    )
    .await?;
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&url.bucket)
        .with_http_connector(http)
        .with_retry(options.retry())
        // A delete of several needs a checksum header that not every store knows.
        .with_disable_bulk_delete(true);
    for (name, value) in options.of_cloud("AWS_") {
        match name.parse() {
            Ok(AmazonS3ConfigKey::Bucket | AmazonS3ConfigKey::Client(_)) | Err(_) => {}
            Ok(key) => builder = builder.with_config(key, value),
        }
    }
    if let (Some(keys), false) = (&profile.keys, own_keys) {
        builder = builder.with_access_key_id(&keys.id).with_secret_access_key(keys.secret.expose());
        if let Some(token) = &keys.token {
            builder = builder.with_token(token.expose());
        }
    }
    let settings = &options.s3;
    let variables = ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().find_map(|name| options.variable(name));
    let region =
        settings.region.as_deref().or(variables).or(profile.region.as_deref()).unwrap_or("us-east-1");
    builder = builder.with_region(region);
    let variables = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"];
    let variables = variables.iter().find_map(|name| options.variable(name));
    let endpoint = settings.endpoint.as_deref().or(variables).or(profile.endpoint.as_deref());
    // A certificate holds for no bucket with a dot before the host.
    let path_style = settings.path_style.unwrap_or(endpoint.is_some() || url.bucket.contains('.'));
    builder = builder.with_virtual_hosted_style_request(!path_style);
    if let Some(endpoint) = endpoint {
        let endpoint = if path_style { endpoint.to_owned() } else { with_bucket(endpoint, &url.bucket) };
        builder = builder.with_allow_http(endpoint.starts_with("http://")).with_endpoint(endpoint);
    }
    // Other servers than Amazon's often refuse headers with a checksum.
    let amazon = endpoint.is_none_or(|endpoint| endpoint.contains(".amazonaws.com"));
    if amazon && options.variable("AWS_CHECKSUM_ALGORITHM").is_none() {
        builder = builder.with_checksum_algorithm(Checksum::SHA256);
    }
    Ok(Box::new(builder.build().map_err(|e| misconfigured(url, &e))?))
}

/// Puts the bucket before the host of an endpoint.
fn with_bucket(endpoint: &str, bucket: &str) -> String {
    match endpoint.split_once("://") {
        Some((scheme, host)) if !host.starts_with(&format!("{bucket}.")) => {
            format!("{scheme}://{bucket}.{host}")
        }
        _ => endpoint.to_owned(),
    }
}

async fn google(
    url: &StoreUrl,
    options: &StoreOptions,
    http: HyperConnector,
) -> Result<Box<dyn ObjectStore>> {
    let variables = [
        "GOOGLE_APPLICATION_CREDENTIALS",
        "GOOGLE_SERVICE_ACCOUNT",
        "GOOGLE_SERVICE_ACCOUNT_PATH",
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        "GOOGLE_BEARER_TOKEN",
        "GOOGLE_SKIP_SIGNATURE",
    ];
    let adc =
        options.home.as_ref().map(|home| home.join(".config/gcloud/application_default_credentials.json"));
    let adc = adc.filter(|path| path.is_file());
    let variables = options.is_any_set(&variables);
    need_credentials(
        url,
        variables || adc.is_some(),
        Some(METADATA),
        "set GOOGLE_APPLICATION_CREDENTIALS to the file of a service account, or `gcloud auth application-default login`",
    )
    .await?;
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(&url.bucket)
        .with_http_connector(http)
        .with_retry(options.retry());
    for (name, value) in options.of_cloud("GOOGLE_") {
        match name.parse() {
            Ok(GoogleConfigKey::Bucket | GoogleConfigKey::Client(_)) | Err(_) => {}
            Ok(key) => builder = builder.with_config(key, value),
        }
    }
    if let (Some(path), false) = (adc, variables) {
        builder = builder.with_application_credentials(path.to_string_lossy());
    }
    Ok(Box::new(builder.build().map_err(|e| misconfigured(url, &e))?))
}

async fn azure(url: &StoreUrl, options: &StoreOptions, http: HyperConnector) -> Result<Box<dyn ObjectStore>> {
    let variables = [
        "AZURE_STORAGE_CONNECTION_STRING",
        "AZURE_STORAGE_KEY",
        "AZURE_STORAGE_ACCESS_KEY",
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_SAS_TOKEN",
        "AZURE_STORAGE_TOKEN",
        "AZURE_CLIENT_SECRET",
        "AZURE_FEDERATED_TOKEN_FILE",
        "AZURE_MSI_ENDPOINT",
        "AZURE_USE_AZURE_CLI",
        "AZURE_SKIP_SIGNATURE",
    ];
    need_credentials(
        url,
        options.is_any_set(&variables),
        Some(METADATA),
        "set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY",
    )
    .await?;
    let mut builder = MicrosoftAzureBuilder::new()
        .with_container_name(&url.bucket)
        .with_http_connector(http)
        .with_retry(options.retry());
    if let Some(string) = options.variable("AZURE_STORAGE_CONNECTION_STRING") {
        for (name, value) in string.split(';').filter_map(|pair| pair.split_once('=')) {
            let key = match name {
                "AccountName" => AzureConfigKey::AccountName,
                "AccountKey" => AzureConfigKey::AccessKey,
                "SharedAccessSignature" => AzureConfigKey::SasKey,
                "BlobEndpoint" => AzureConfigKey::Endpoint,
                _ => continue,
            };
            builder = builder.with_config(key, value);
        }
    }
    for (name, value) in options.of_cloud("AZURE_") {
        // The names of the `az` command.
        let key = match name.as_str() {
            "azure_storage_account" => Ok(AzureConfigKey::AccountName),
            "azure_storage_key" => Ok(AzureConfigKey::AccessKey),
            name => name.parse(),
        };
        match key {
            Ok(AzureConfigKey::ContainerName | AzureConfigKey::Client(_)) | Err(_) => {}
            Ok(key) => builder = builder.with_config(key, value),
        }
    }
    Ok(Box::new(builder.with_allow_http(true).build().map_err(|e| misconfigured(url, &e))?))
}

/// An error of the library names a key and never its value; its sources might.
fn misconfigured(url: &StoreUrl, cause: &object_store::Error) -> Error {
    let text = cause.to_string();
    let what = text.split(": ").take(2).collect::<Vec<_>>().join(": ");
    error::usage(format!("{url} cannot be opened: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_stands_before_the_host_once() {
        assert_eq!(with_bucket("https://s3.example", "b"), "https://b.s3.example");
        assert_eq!(with_bucket("https://b.s3.example", "b"), "https://b.s3.example");
    }

    #[tokio::test]
    async fn without_credentials_a_store_is_not_opened_and_the_variables_are_named() {
        let disabled = ("AWS_EC2_METADATA_DISABLED".to_owned(), "true".to_owned());
        let options = StoreOptions { variables: [disabled].into(), ..StoreOptions::default() };
        let url = "s3://b/x".parse().unwrap();
        let error = open(&url, &options).await.err().unwrap();
        assert_eq!(error.kind(), error::ErrorKind::Usage);
        assert!(error.hints()[0].contains("AWS_ACCESS_KEY_ID"), "{error}");
        // Nobody answers there.
        need_credentials(&url, false, Some("127.0.0.1:9"), "x").await.unwrap_err();
        need_credentials(&url, true, None, "x").await.unwrap();
    }
}
