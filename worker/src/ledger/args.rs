//! Arguments of a script: many small texts, kept in one piece of memory.

use std::{fmt::Display, io::Write};

use redis::{RedisWrite, ToRedisArgs};
use serde::Serialize;

/// Arguments, in their order.
#[derive(Debug, Default)]
pub(super) struct Args {
    bytes: Vec<u8>,
    /// Where each argument ends.
    ends: Vec<usize>,
}

impl Args {
    /// Adds a text as it is.
    pub(super) fn push_text(&mut self, text: &str) {
        self.push_with(|bytes| bytes.extend_from_slice(text.as_bytes()));
    }

    /// Adds a value as its text.
    pub(super) fn push(&mut self, value: impl Display) {
        self.push_with(|bytes| {
            // A write to memory cannot fail.
            let _ = write!(bytes, "{value}");
        });
    }

    /// Adds a value as JSON.
    pub(super) fn push_json(&mut self, value: &impl Serialize) {
        self.push_with(|bytes| {
            // Records and jobs consist of strings and numbers, which serde_json always accepts.
            let _ = serde_json::to_writer(bytes, value);
        });
    }

    fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }
}

impl ToRedisArgs for Args {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        let mut begin = 0;
        for end in &self.ends {
            out.write_arg(&self.bytes[begin..*end]);
            begin = *end;
        }
    }

    fn num_of_args(&self) -> usize {
        self.ends.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_argument_keeps_its_own_bytes_even_when_it_has_none() {
        let mut args = Args::default();
        args.push_text("order-1842");
        args.push_text("");
        args.push_json(&"\0");
        args.push(7);

        assert_eq!(args.to_redis_args(), [&b"order-1842"[..], b"", br#""\u0000""#, b"7"]);
        assert_eq!(args.num_of_args(), 4);
    }
}
