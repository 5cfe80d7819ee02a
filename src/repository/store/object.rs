//! Buckets and containers, through the `object_store` library.

use std::ops::Range;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{
    GetOptions, GetRange, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions,
};

use super::object_failure::{failure, is_unknown_operation};
use super::object_http::HoldHeaders;
use super::{ExistingObject, ObjectBytes, ObjectHold, PartUpload, PutResult, Store, StoredObject};
use crate::config::store_url::StoreUrl;
use crate::error::{self, Error, Result};

/// A bucket or container, from a prefix on.
pub(super) struct ObjectStorage {
    pub(super) url: StoreUrl,
    pub(super) inner: Box<dyn ObjectStore>,
}

impl ObjectStorage {
    fn path(&self, key: &str) -> Result<Path> {
        let path = match (self.url.prefix.as_str(), key) {
            ("", key) => key.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, key) => format!("{prefix}/{key}"),
        };
        Path::parse(&path)
            .map_err(|e| error::usage(format!("{path:?} cannot be a key of {}", self.url)).because(e))
    }

    fn failed<'a>(&'a self, doing: &'a str, key: &'a str) -> impl Fn(object_store::Error) -> Error + 'a {
        move |cause| failure(&self.url, doing, key, &cause)
    }

    /// Returns an object as the trait tells it; `None` for one outside the prefix.
    fn described(&self, meta: ObjectMeta) -> Option<StoredObject> {
        let whole: &str = meta.location.as_ref();
        let key = match self.url.prefix.as_str() {
            "" => whole,
            prefix => whole.strip_prefix(prefix)?.strip_prefix('/')?,
        };
        let etag = meta.e_tag.map(|tag| tag.trim_matches('"').to_owned());
        Some(StoredObject { key: key.to_owned(), size: meta.size, etag })
    }

    async fn put_if_free(&self, key: &str, bytes: Bytes) -> Result<PutResult> {
        let path = self.path(key)?;
        let create = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.inner.put_opts(&path, bytes.clone().into(), create).await {
            Ok(_) => Ok(PutResult::Stored),
            Err(object_store::Error::AlreadyExists { .. }) => self.taken(key, &bytes).await,
            // A store without conditional requests: two at the same instant are all that is not noticed.
            Err(cause) if is_unknown_operation(&cause) => {
                if self.stat(key).await?.is_some() {
                    return self.taken(key, &bytes).await;
                }
                self.inner.put(&path, bytes.into()).await.map_err(self.failed("write", key))?;
                Ok(PutResult::Stored)
            }
            Err(cause) => Err(self.failed("write", key)(cause)),
        }
    }

    /// The key is taken: by an earlier attempt of ours, where the same bytes are there.
    async fn taken(&self, key: &str, bytes: &Bytes) -> Result<PutResult> {
        let there = self.open(key, None).await?.try_fold(Vec::new(), async |mut all, bytes| {
            all.extend_from_slice(&bytes);
            Ok(all)
        });
        Ok(if there.await? == *bytes { PutResult::Stored } else { PutResult::Taken })
    }
}

impl Store for ObjectStorage {
    fn url(&self) -> &StoreUrl {
        &self.url
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        bytes: Bytes,
        existing: ExistingObject,
    ) -> BoxFuture<'a, Result<PutResult>> {
        Box::pin(async move {
            if existing == ExistingObject::Keep {
                return self.put_if_free(key, bytes).await;
            }
            let path = self.path(key)?;
            self.inner.put(&path, bytes.into()).await.map_err(self.failed("write", key))?;
            Ok(PutResult::Stored)
        })
    }

    fn begin<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Box<dyn PartUpload>>> {
        Box::pin(async move {
            let path = self.path(key)?;
            let inner = self.inner.put_multipart(&path).await.map_err(self.failed("write", key))?;
            let upload = ObjectUpload { inner, url: self.url.clone(), key: key.to_owned() };
            Ok(Box::new(upload) as Box<dyn PartUpload>)
        })
    }

    fn open<'a>(&'a self, key: &'a str, range: Option<Range<u64>>) -> BoxFuture<'a, Result<ObjectBytes>> {
        Box::pin(async move {
            let path = self.path(key)?;
            let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
            let found = self.inner.get_opts(&path, options).await.map_err(self.failed("read", key))?;
            let (url, key) = (self.url.clone(), key.to_owned());
            let bytes = found.into_stream();
            Ok(bytes.map_err(move |cause| failure(&url, "read", &key, &cause)).boxed())
        })
    }

    fn list<'a>(&'a self, directory: &'a str) -> BoxFuture<'a, Result<Vec<StoredObject>>> {
        Box::pin(async move {
            let path = self.path(directory)?;
            let listed = self.inner.list(Some(&path)).try_collect::<Vec<_>>();
            let listed = listed.await.map_err(self.failed("list", directory))?;
            Ok(listed.into_iter().filter_map(|meta| self.described(meta)).collect())
        })
    }

    fn stat<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<StoredObject>>> {
        Box::pin(async move {
            match self.inner.head(&self.path(key)?).await {
                Ok(meta) => Ok(self.described(meta)),
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(cause) => Err(self.failed("look at", key)(cause)),
            }
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            match self.inner.delete(&self.path(key)?).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(cause) => Err(self.failed("delete", key)(cause)),
            }
        })
    }

    fn hold<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<ObjectHold>> {
        Box::pin(async move {
            let seen = HoldHeaders::default();
            let options = GetOptions { head: true, extensions: seen.extension(), ..GetOptions::default() };
            match self.inner.get_opts(&self.path(key)?, options).await {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(seen.hold()),
                Err(cause) => Err(self.failed("look at", key)(cause)),
            }
        })
    }
}

/// An upload in parts.
struct ObjectUpload {
    inner: Box<dyn MultipartUpload>,
    url: StoreUrl,
    key: String,
}

impl PartUpload for ObjectUpload {
    fn part(&mut self, bytes: Bytes) -> BoxFuture<'static, Result<()>> {
        let part = self.inner.put_part(bytes.into());
        let (url, key) = (self.url.clone(), self.key.clone());
        Box::pin(async move { part.await.map_err(|cause| failure(&url, "write a part of", &key, &cause)) })
    }

    fn complete(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            let done = self.inner.complete().await;
            done.map(drop).map_err(|cause| failure(&self.url, "complete", &self.key, &cause))
        })
    }

    fn abort(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            let done = self.inner.abort().await;
            done.map_err(|cause| failure(&self.url, "abort the upload of", &self.key, &cause))
        })
    }
}
