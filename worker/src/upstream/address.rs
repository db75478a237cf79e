//! Addresses: the base, a path from the settings, and what stands in its braces.

use url::Url;

/// An address with at most one place to fill in.
#[derive(Debug, Clone)]
pub(super) struct Address {
    before: String,
    after: String,
}

/// Why an address cannot be made of the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It would be the same for each job or task.
    #[error("`{path}` must contain `{placeholder}`")]
    NoPlaceholder {
        /// The path in question.
        path: String,
        /// What it lacks.
        placeholder: &'static str,
    },
    /// It is no address.
    #[error("`{path}` does not make an address")]
    Unreadable {
        /// The path in question.
        path: String,
    },
}

impl Address {
    /// Joins `path` to `base`: the base's own path stays, and there are no double slashes.
    ///
    /// A path without the placeholder but with a query (`/mj/task/fetch?id=`) is filled in at its end.
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
        Self { before, after }.checked(path)
    }

    /// Joins `path` to `base`, with nothing to fill in.
    pub(super) fn fixed(base: &Url, path: &str) -> Result<Self, AddressError> {
        Self { before: Self::join(base, path), after: String::new() }.checked(path)
    }

    /// The address with `value` in its place, so encoded that it stays within one segment.
    pub(super) fn with(&self, value: &str) -> String {
        format!("{}{}{}", self.before, percent_encoded(value), self.after)
    }

    fn join(base: &Url, path: &str) -> String {
        let mut base = base.clone();
        base.set_query(None);
        base.set_fragment(None);
        format!("{}/{}", base.as_str().trim_end_matches('/'), path.trim().trim_start_matches('/'))
    }

    fn checked(self, path: &str) -> Result<Self, AddressError> {
        match Url::parse(&self.with("0")) {
            Ok(_) => Ok(self),
            Err(_) => Err(AddressError::Unreadable { path: path.to_owned() }),
        }
    }
}

fn percent_encoded(value: &str) -> String {
    let byte_encoded = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    value.bytes().map(byte_encoded).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(base: &str, path: &str) -> Result<String, AddressError> {
        Address::new(&Url::parse(base).unwrap(), path, "{id}").map(|address| address.with("a/b?é"))
    }

    #[test]
    fn paths_are_appended_to_the_base() {
        for (base, path, whole) in [
            ("https://a.cn/v1", "/mj/task/{id}/fetch", "https://a.cn/v1/mj/task/a%2Fb%3F%C3%A9/fetch"),
            ("https://a.cn/v1/", "mj/task/{id}/fetch", "https://a.cn/v1/mj/task/a%2Fb%3F%C3%A9/fetch"),
            ("https://a.cn", "//mj/{id}", "https://a.cn/mj/a%2Fb%3F%C3%A9"),
            ("http://a.cn:1/?x=1#y", "/mj/{id}", "http://a.cn:1/mj/a%2Fb%3F%C3%A9"),
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
