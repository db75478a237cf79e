//! Settings: what an operator can decide, from flags, the environment and a TOML file.
//!
//! [`TABLE`] is the one list of them all. Flags, `MJQ_…` variables, TOML keys, `--help`, defaults and
//! `mjq check-config` come from it, so they cannot drift apart. In reading order:
//!
//! 1. `setting`: one row of the table, and its names.
//! 2. `table`: the rows, and [`Settings`] with a typed field for each.
//! 3. `value`: reads one text, or says what was expected.
//! 4. `layer`: where texts come from, lowest precedence first.
//! 5. `load`: joins the layers and reports every problem at once.
//!
//! What it promises: no message and no `Debug` output ever holds a secret's value.

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
