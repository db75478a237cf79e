//! Settings as flags, made from the table of settings.

use std::{collections::BTreeMap, path::PathBuf};

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, value_parser};

use crate::settings::{Audience, Setting, TABLE};

/// The flags as given, not yet read.
#[derive(Debug, Clone, Default)]
pub(super) struct Flags {
    /// The given texts, by the settings' names.
    pub(super) texts: BTreeMap<String, String>,
    /// The path behind `--config`.
    pub(super) config: Option<PathBuf>,
}

/// A flag for every setting.
#[derive(Debug, Clone)]
pub(super) struct WorkerFlags(pub(super) Flags);

/// A flag for each setting whose audience is everyone.
#[derive(Debug, Clone)]
pub(super) struct ClientFlags(pub(super) Flags);

macro_rules! flags_of {
    ($($flags:ident: $settings:expr;)+) => {$(
        impl Args for $flags {
            fn augment_args(command: Command) -> Command {
                augment(command, $settings)
            }

            fn augment_args_for_update(command: Command) -> Command {
                Self::augment_args(command)
            }
        }

        impl FromArgMatches for $flags {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
                Ok(Self(read(matches, $settings)))
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
                Self::from_arg_matches(matches).map(|flags| *self = flags)
            }
        }
    )+};
}

flags_of! {
    WorkerFlags: TABLE.iter();
    ClientFlags: TABLE.iter().filter(|setting| setting.audience == Audience::Everyone);
}

const CONFIG: &str = "config";

fn augment(command: Command, settings: impl Iterator<Item = &'static Setting>) -> Command {
    let config = Arg::new(CONFIG)
        .long(CONFIG)
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help("A TOML file with settings, such as queue = \"default\" [env: MJQ_CONFIG]")
        .help_heading("Settings");
    settings.fold(command.arg(config), |command, setting| {
        let command = command.arg(flag(setting));
        match setting.file_name() {
            Some(name) => command.arg(file_flag(setting, name)),
            None => command,
        }
    })
}

fn flag(setting: &'static Setting) -> Arg {
    let default = if setting.default.is_empty() { String::new() } else { format!("default: {}, ", setting.default) };
    Arg::new(setting.name)
        .long(setting.flag())
        .value_name(setting.name.rsplit('_').next().unwrap_or_default().to_ascii_uppercase())
        .help(format!("{} [{default}env: {}]", setting.meaning.trim(), setting.variable()))
        .help_heading("Settings")
}

/// A flag for a file that holds a secret: every user of a machine can read command lines, but files can be protected.
fn file_flag(setting: &'static Setting, name: String) -> Arg {
    Arg::new(name.clone())
        .long(name.replace('_', "-"))
        .value_name("FILE")
        .help(format!("A file that holds it, instead [env: {}_FILE]", setting.variable()))
        .help_heading("Settings")
}

fn read(matches: &ArgMatches, settings: impl Iterator<Item = &'static Setting>) -> Flags {
    let names = settings.flat_map(|setting| [Some(setting.name.to_owned()), setting.file_name()]).flatten();
    let texts = names.filter_map(|name| Some((name.clone(), matches.get_one::<String>(&name)?.clone())));
    Flags { texts: texts.collect(), config: matches.get_one::<PathBuf>(CONFIG).cloned() }
}
