//! Hook addresses: the upstream reports a task there. They are signed, so that nobody else can make one.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use mjq_producer::contract::JobId;
use sha2::Sha256;

/// Makes and checks the addresses of hooks: `<base>/hooks/<job>/<attempt>/<enqueued ms>/<signature>`.
///
/// The time when the job came distinguishes it from an earlier job with the same id, whose callbacks may be late.
#[derive(Clone)]
pub(crate) struct HookAddress {
    base: String,
    signer: Hmac<Sha256>,
}

/// What an address names: one attempt of one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Addressed<'a> {
    pub(crate) job: &'a JobId,
    pub(crate) attempt: u32,
    /// When the job came, Unix milliseconds; `None` in addresses made before 2026-11-28, whose tasks may still be
    /// running.
    pub(crate) enqueued_ms: Option<u64>,
}

impl HookAddress {
    /// Makes addresses below `base`, signed with `secret`, which all pods of the queue share.
    pub(crate) fn new(base: &str, secret: &str) -> Option<Self> {
        let signer = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
        Some(Self { base: base.trim_end_matches('/').to_owned(), signer })
    }

    /// The address for one attempt of `job`, which came at `enqueued_ms`.
    pub(crate) fn url(&self, job: &JobId, attempt: u32, enqueued_ms: u64) -> String {
        let addressed = Addressed { job, attempt, enqueued_ms: Some(enqueued_ms) };
        let signature = URL_SAFE_NO_PAD.encode(self.sign(addressed).finalize().into_bytes());
        format!("{}/hooks/{}/{signature}", self.base, addressed.path())
    }

    /// Whether a pod of this queue made the address.
    pub(crate) fn is_genuine(&self, addressed: Addressed<'_>, signature: &str) -> bool {
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
        // Compared in constant time.
        self.sign(addressed).verify_slice(&signature).is_ok()
    }

    fn sign(&self, addressed: Addressed<'_>) -> Hmac<Sha256> {
        let mut signer = self.signer.clone();
        signer.update(addressed.path().as_bytes());
        signer
    }
}

impl Addressed<'_> {
    /// The signed part. No job id contains a slash, so neither form can be read as the other.
    fn path(&self) -> String {
        let Self { job, attempt, enqueued_ms } = self;
        enqueued_ms.map_or_else(|| format!("{job}/{attempt}"), |ms| format!("{job}/{attempt}/{ms}"))
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

    const BASE: &str = "https://mjq.example/prefix/";

    #[test]
    fn only_an_address_that_was_made_here_is_genuine() {
        let hooks = HookAddress::new(BASE, "secret").unwrap();
        let (job, other) = (JobId::new("order-1842").unwrap(), JobId::new("other").unwrap());
        let addressed = Addressed { job: &job, attempt: 2, enqueued_ms: Some(1700) };

        let url = hooks.url(&job, 2, 1700);

        let signature = url.strip_prefix("https://mjq.example/prefix/hooks/order-1842/2/1700/").unwrap();
        assert!(hooks.is_genuine(addressed, signature));
        assert!(!hooks.is_genuine(Addressed { attempt: 1, ..addressed }, signature));
        assert!(!hooks.is_genuine(Addressed { job: &other, ..addressed }, signature));
        assert!(!hooks.is_genuine(Addressed { enqueued_ms: Some(1701), ..addressed }, signature), "a later job");
        assert!(!hooks.is_genuine(Addressed { enqueued_ms: None, ..addressed }, signature), "the form before");
        assert!(!HookAddress::new(BASE, "other").unwrap().is_genuine(addressed, signature));
    }

    #[test]
    fn an_address_of_the_form_before_is_still_genuine() {
        let job = JobId::new("order-1842").unwrap();
        let hooks = HookAddress::new(BASE, "secret").unwrap();

        // HMAC-SHA-256 of `order-1842/2`.
        let signature = "gC4wOAR0GbVGPELiEWnGy_u4NJjPPu8H7IGvyTwdwBg";

        assert!(hooks.is_genuine(Addressed { job: &job, attempt: 2, enqueued_ms: None }, signature));
        assert!(!hooks.is_genuine(Addressed { job: &job, attempt: 2, enqueued_ms: Some(1) }, signature));
    }
}
