//! The key that mjq sends to the upstream. It is read anew from its file when the upstream refuses it.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};

use memchr::memmem;
use reqwest::{
    RequestBuilder,
    header::{HeaderName, HeaderValue},
};
use secrecy::{ExposeSecret, SecretString};
use tracing::{info, warn};

use super::{UpstreamError, UpstreamSettings};

/// Holds the key that is sent at present.
#[derive(Debug)]
pub(super) struct KeyHolder {
    header: HeaderName,
    /// The word before the key in its header.
    scheme: String,
    /// The file that the key comes from, if there is one: it may change.
    file: Option<PathBuf>,
    current: RwLock<Option<Arc<Key>>>,
}

/// A key in the form in which it is sent.
#[derive(Debug)]
pub(super) struct Key {
    text: SecretString,
    header: HeaderName,
    value: HeaderValue,
}

impl KeyHolder {
    pub(super) fn new(settings: &UpstreamSettings) -> Result<Self, UpstreamError> {
        let unusable = || UpstreamError::Key { header: settings.auth_header.clone() };
        let header = HeaderName::from_bytes(settings.auth_header.as_bytes()).map_err(|_| unusable())?;
        let scheme = settings.auth_scheme.trim().to_owned();
        let text = settings.key.as_ref().map_or("", |key| key.expose_secret().trim());
        let key = (!text.is_empty()).then(|| Key::new(&header, &scheme, text).ok_or_else(unusable)).transpose()?;
        Ok(Self { header, scheme, file: settings.key_file.clone(), current: RwLock::new(key.map(Arc::new)) })
    }

    /// The present key, if there is one.
    pub(super) fn current(&self) -> Option<Arc<Key>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the key from its file once more, after the upstream refused it: the file may have been replaced.
    pub(super) async fn read_again(&self) {
        let Some(file) = &self.file else { return };
        let path = file.display();
        let text = match tokio::fs::read_to_string(file).await {
            Ok(text) => text,
            Err(error) => return warn!("cannot read the upstream's key once more from {path}: {error}"),
        };
        let text = text.trim();
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let is_known = current.as_ref().is_some_and(|key| key.text.expose_secret() == text);
        // A file that is being written may be empty for a moment.
        if text.is_empty() || is_known {
            return;
        }
        let Some(key) = Key::new(&self.header, &self.scheme, text) else {
            return warn!("what {path} holds now cannot be sent as the upstream's key");
        };
        *current = Some(Arc::new(key));
        info!("the upstream's key was replaced: it is the one that {path} holds now");
    }
}

impl Key {
    /// Makes a key; `None` when the text cannot stand in a header.
    fn new(header: &HeaderName, scheme: &str, text: &str) -> Option<Self> {
        let mut value = HeaderValue::from_str(format!("{scheme} {text}").trim()).ok()?;
        value.set_sensitive(true);
        Some(Self { text: text.into(), header: header.clone(), value })
    }

    /// Adds the key to a request.
    pub(super) fn sign(&self, request: RequestBuilder) -> RequestBuilder {
        request.header(&self.header, &self.value)
    }

    /// Removes the key from an answer: some upstreams repeat it in their errors, and reasons are shown and stored.
    pub(super) fn hide_in(&self, status: u16, body: Vec<u8>) -> Vec<u8> {
        /// A shorter key may stand in a prompt by chance, so it is removed only from errors.
        const UNMISTAKABLE: usize = 16;
        let key = self.text.expose_secret();
        let is_sought = status >= 400 || key.len() >= UNMISTAKABLE;
        if !is_sought || memmem::find(&body, key.as_bytes()).is_none() {
            return body;
        }
        String::from_utf8_lossy(&body).replace(key, "***").into_bytes()
    }
}
