//! The innermost cause of an error, for a message that stands alone.

use std::error::Error;

/// The innermost error's message. An HTTP client's innermost error does not contain the address.
pub(crate) fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
