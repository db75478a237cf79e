//! Hook addresses: where the upstream reports a task, signed so that nobody else can.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use mjq_producer::contract::JobId;
use sha2::Sha256;

/// Makes and checks the addresses of hooks: `<base>/hooks/<job>/<attempt>/<signature>`.
#[derive(Clone)]
pub(crate) struct HookAddress {
    base: String,
    signer: Hmac<Sha256>,
}

impl HookAddress {
    /// Makes addresses below `base`, signed with `secret`, which all pods of the queue share.
    pub(crate) fn new(base: &str, secret: &str) -> Option<Self> {
        let signer = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
        Some(Self { base: base.trim_end_matches('/').to_owned(), signer })
    }

    /// The address for one attempt of `job`.
    pub(crate) fn url(&self, job: &JobId, attempt: u32) -> String {
        let signature = URL_SAFE_NO_PAD.encode(self.sign(job, attempt).finalize().into_bytes());
        format!("{}/hooks/{job}/{attempt}/{signature}", self.base)
    }

    /// Whether the address was made here.
    pub(crate) fn is_genuine(&self, job: &JobId, attempt: u32, signature: &str) -> bool {
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
        // Compared in constant time.
        self.sign(job, attempt).verify_slice(&signature).is_ok()
    }

    fn sign(&self, job: &JobId, attempt: u32) -> Hmac<Sha256> {
        let mut signer = self.signer.clone();
        signer.update(format!("{job}/{attempt}").as_bytes());
        signer
    }
}

impl std::fmt::Debug for HookAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HookAddress").field("base", &self.base).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_that_was_made_here_is_genuine() {
        let hooks = HookAddress::new("https://mjq.example/prefix/", "secret").unwrap();
        let job = JobId::new("order-1842").unwrap();

        let url = hooks.url(&job, 2);

        let signature = url.strip_prefix("https://mjq.example/prefix/hooks/order-1842/2/").unwrap();
        assert!(hooks.is_genuine(&job, 2, signature));
        assert!(!hooks.is_genuine(&job, 1, signature));
        assert!(!hooks.is_genuine(&JobId::new("other").unwrap(), 2, signature));
        assert!(!HookAddress::new("https://x", "other").unwrap().is_genuine(&job, 2, signature));
    }
}
