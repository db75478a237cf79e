//! Settings: the decisions of an operator, from flags, the environment and a TOML file.
//!
//! [`TABLE`] lists all settings in one place. Flags, `MJQ_…` variables, TOML keys, `--help`, defaults and
//! `mjq check-config` come from it, so they cannot drift apart. In reading order:
//!
//! 1. `setting`: one row of the table, and its names.
//! 2. `table`: the rows, and [`Settings`] with a typed field for each.
//! 3. `value`: reads one text, or says what was expected.
//! 4. `layer`: the sources of texts, lowest precedence first.
//! 5. `load`: joins the layers and reports every problem at once.
//!
//! No message and no `Debug` output ever holds a secret's value.

mod layer;
mod load;
mod problem;
mod setting;
mod table;
mod value;

pub use load::{Effective, Given, Loaded, load};
pub use problem::{Invalid, Problem};
pub use setting::{Audience, Secrecy, Setting};
pub use table::{Settings, TABLE};
pub use value::{LogFormat, UpstreamState};
