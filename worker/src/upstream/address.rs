//! Addresses: the base, a path from the settings, and the value of the path's placeholder.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use url::{Position, Url};

/// An address with at most one placeholder, in its path or in its query.
#[derive(Debug, Clone)]
pub(super) struct Address {
    /// The parsed address without a value: to parse scheme and host anew for each request would cost as much as the
    /// rest.
    any: Url,
    before: String,
    after: String,
    is_in_query: bool,
}

/// Why an address cannot be made of the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The address would be the same for each job or task.
    #[error("`{path}` must contain `{placeholder}`")]
    NoPlaceholder {
        /// The path in question.
        path: String,
        /// The placeholder that it lacks.
        placeholder: &'static str,
    },
    /// Base and path do not make an address.
    #[error("`{path}` does not make an address")]
    Unreadable {
        /// The path in question.
        path: String,
    },
}

impl Address {
    /// Joins `path` to `base`. The base's own path stays, and there are no double slashes.
    ///
    /// If a path has a query but no placeholder (`/mj/task/fetch?id=`), the value is appended.
    pub(super) fn new(base: &Url, path: &str, placeholder: &'static str) -> Result<Self, AddressError> {
        let whole = Self::join(base, path);
        let place = match whole.split_once(placeholder) {
            Some((before, after)) => Some((before.to_owned(), after.to_owned())),
            None if path.ends_with('=') && path.contains('?') => Some((whole.clone(), String::new())),
            None if path.contains('?') => Some((format!("{whole}="), String::new())),
            None => None,
        };
        let (before, after) =
            place.ok_or_else(|| AddressError::NoPlaceholder { path: path.to_owned(), placeholder })?;
        Self::read(&before, &after, path)
    }

    /// Joins `path` to `base`, without a placeholder.
    pub(super) fn fixed(base: &Url, path: &str) -> Result<Self, AddressError> {
        Self::read(&Self::join(base, path), "", path)
    }

    /// The address with `value` for its placeholder, encoded so that it stays within one segment.
    pub(super) fn with(&self, value: &str) -> Url {
        let mut url = self.any.clone();
        let filled = format!("{}{}{}", self.before, percent_encoded(value), self.after);
        if self.is_in_query {
            url.set_query(Some(&filled));
        } else {
            url.set_path(&filled);
        }
        url
    }

    fn join(base: &Url, path: &str) -> String {
        let mut base = base.clone();
        base.set_query(None);
        base.set_fragment(None);
        format!("{}/{}", base.as_str().trim_end_matches('/'), path.trim().trim_start_matches('/'))
    }

    /// Parses an address that consists of `before`, a value, and `after`; `path` is the setting, for errors.
    fn read(before: &str, after: &str, path: &str) -> Result<Self, AddressError> {
        let unreadable = || AddressError::Unreadable { path: path.to_owned() };
        let any = Url::parse(&format!("{before}{after}")).map_err(|_| unreadable())?;
        // Only path and query take a value: a placeholder in scheme or host is an error. The base has no user or
        // password.
        let head = any.as_str().len() - any[Position::BeforePath..].len();
        let (before, after, is_in_query) = match before.split_once('?') {
            Some((_, query)) => (query, after, true),
            None => (before.get(head..).ok_or_else(unreadable)?, after.split('?').next().unwrap_or_default(), false),
        };
        Ok(Self { before: before.to_owned(), after: after.to_owned(), is_in_query, any })
    }
}

fn percent_encoded(value: &str) -> PercentEncode<'_> {
    /// All characters but letters, digits and the punctuation that RFC 3986 calls unreserved.
    const RESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(value, &RESERVED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(base: &str, path: &str) -> Result<String, AddressError> {
        Address::new(&Url::parse(base).unwrap(), path, "{id}").map(|address| address.with("a/b?é").into())
    }

    #[test]
    fn paths_are_appended_to_the_base() {
        for (base, path, whole) in [
            ("https://a.cn/v1", "/mj/task/{id}/fetch", "https://a.cn/v1/mj/task/a%2Fb%3F%C3%A9/fetch"),
            ("https://a.cn/v1/", "mj/task/{id}/fetch", "https://a.cn/v1/mj/task/a%2Fb%3F%C3%A9/fetch"),
            ("https://a.cn", "//mj/{id}", "https://a.cn/mj/a%2Fb%3F%C3%A9"),
            ("http://a.cn:1/?x=1#y", "/mj/{id}", "http://a.cn:1/mj/a%2Fb%3F%C3%A9"),
            ("https://a.cn/v1", "/mj/{id}/fetch?x=1", "https://a.cn/v1/mj/a%2Fb%3F%C3%A9/fetch?x=1"),
            ("https://a.cn/v1", "/fetch?id={id}&x=1", "https://a.cn/v1/fetch?id=a%2Fb%3F%C3%A9&x=1"),
            ("https://a.cn/v1", "/fetch?id=", "https://a.cn/v1/fetch?id=a%2Fb%3F%C3%A9"),
            ("https://a.cn/v1", "/fetch?id", "https://a.cn/v1/fetch?id=a%2Fb%3F%C3%A9"),
        ] {
            assert_eq!(address(base, path).unwrap(), whole);
        }
    }

    #[test]
    fn a_path_that_is_the_same_for_each_task_is_refused() {
        let error = address("https://a.cn/v1", "/mj/task/fetch").unwrap_err();

        assert_eq!(error.to_string(), "`/mj/task/fetch` must contain `{id}`");
    }
}
