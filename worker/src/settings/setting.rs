//! One row of the table of settings, and the names that follow from it.

/// One setting, as all sources and all help texts know it.
#[derive(Debug)]
pub struct Setting {
    /// The key in the TOML file; the variable's and the flag's names follow from it.
    pub name: &'static str,
    /// The text in effect when no source sets another.
    pub default: &'static str,
    /// The setting's meaning, in one line.
    pub meaning: &'static str,
    /// Which commands have a flag for it.
    pub audience: Audience,
    /// Whether the value may be shown.
    pub secrecy: Secrecy,
}

/// Which commands have a flag for a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// All commands.
    Everyone,
    /// Only commands that are about the worker.
    Worker,
}

/// Whether a setting's value may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    /// The value may be shown.
    Open,
    /// The value is a URL that may hold a password. It is shown without its user and password; if it cannot be read, it
    /// is hidden.
    Password,
    /// The value is never shown.
    Secret,
}

impl Setting {
    /// The text in place of a hidden value.
    pub const HIDDEN: &str = "(hidden)";

    /// The variable's name, such as `MJQ_REDIS_URL`.
    #[must_use]
    pub fn variable(&self) -> String {
        variable(self.name)
    }

    /// The flag's name without its dashes, such as `redis-url`.
    #[must_use]
    pub fn flag(&self) -> String {
        flag(self.name)
    }

    /// The name of the setting for a file that holds the value; `None` when the value is not secret.
    #[must_use]
    pub fn file_name(&self) -> Option<String> {
        (self.secrecy != Secrecy::Open).then(|| format!("{}_file", self.name))
    }

    /// A valid value, in a form that may be shown.
    #[must_use]
    pub fn show(&self, text: &str) -> String {
        match self.secrecy {
            Secrecy::Secret if !text.is_empty() => Self::HIDDEN.to_owned(),
            _ => without_user_info(text),
        }
    }

    /// An invalid value, quoted, in a form that may be shown.
    pub(super) fn show_bad(&self, text: &str) -> String {
        match self.secrecy {
            // In an unreadable value, any part may be the password.
            Secrecy::Secret | Secrecy::Password if !text.is_empty() => Self::HIDDEN.to_owned(),
            _ => format!("{:?}", without_user_info(text)),
        }
    }
}

pub(super) fn variable(name: &str) -> String {
    format!("MJQ_{}", name.to_ascii_uppercase())
}

pub(super) fn flag(name: &str) -> String {
    name.replace('_', "-")
}

/// The text with `…` in place of the user and password of a URL.
fn without_user_info(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").map_or((None, text), |(scheme, rest)| (Some(scheme), rest));
    match (scheme, rest.rsplit_once('@')) {
        (Some(scheme), Some((_, place))) => format!("{scheme}://…@{place}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: Setting = Setting {
        name: "redis_url",
        default: "",
        meaning: "",
        audience: Audience::Everyone,
        secrecy: Secrecy::Password,
    };

    #[test]
    fn the_names_of_a_setting_follow_from_its_key() {
        assert_eq!(URL.variable(), "MJQ_REDIS_URL");
        assert_eq!(URL.flag(), "redis-url");
        assert_eq!(URL.file_name().as_deref(), Some("redis_url_file"));
        assert_eq!(Setting { secrecy: Secrecy::Open, ..URL }.file_name(), None);
    }

    #[test]
    fn a_password_in_a_url_is_not_shown() {
        assert_eq!(URL.show("redis://me:p@ss@host:6379/0"), "redis://…@host:6379/0");
        assert_eq!(URL.show("redis://host:6379"), "redis://host:6379");
        assert_eq!(URL.show_bad("p@ss"), Setting::HIDDEN);
        assert_eq!(Setting { secrecy: Secrecy::Open, ..URL }.show_bad("https://me:pass@host"), "\"https://…@host\"");
    }
}
