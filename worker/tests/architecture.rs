//! The arrows of ARCHITECTURE.md: who may import whom. Read from the sources, so that an arrow in the
//! wrong direction fails here before it is a habit.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// For each folder below the workspace: what its sources must not mention.
const FORBIDDEN: &[(&str, &[&str])] = &[
    (
        "producer-lib/src/contract",
        &[
            "redis::",
            "tokio",
            "async fn",
            "crate::link",
            "crate::producer",
            "crate::events",
            "crate::RedisLink",
            "crate::Producer",
            "crate::EventReader",
        ],
    ),
    (
        "worker/src/lifecycle",
        &[
            "crate::ledger",
            "crate::upstream",
            "crate::engine",
            "crate::admin",
            "crate::cli",
            "crate::settings",
            "crate::telemetry",
            "redis::",
            "reqwest",
            "tokio",
            "rand::",
            "SystemTime",
            "Instant::now",
        ],
    ),
    (
        "worker/src/ledger",
        &["crate::upstream", "crate::engine", "crate::admin", "crate::cli", "crate::settings", "crate::telemetry"],
    ),
    (
        "worker/src/upstream",
        &["crate::ledger", "crate::engine", "crate::admin", "crate::cli", "crate::settings", "crate::telemetry"],
    ),
    ("worker/src/engine", &["crate::admin", "crate::cli"]),
    ("worker/src/admin", &["crate::engine", "crate::cli", "crate::upstream"]),
    (
        "worker/src/shown",
        &["crate::upstream", "crate::engine", "crate::admin", "crate::cli", "crate::settings", "crate::telemetry"],
    ),
    ("worker/src/settings", &["crate::engine", "crate::admin", "crate::cli", "crate::telemetry"]),
    ("tests/simulator/src", &["mjq_worker", "mjq_producer"]),
    ("tests/harness", &["mjq_worker"]),
    ("tests/spec", &["mjq_worker"]),
    ("tests/demo", &["mjq_worker"]),
    ("tests/chaos", &["mjq_worker"]),
];

#[test]
fn every_import_follows_the_arrows() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the worker lies in the workspace");
    let mut wrong = Vec::new();
    for (folder, words) in FORBIDDEN {
        for file in sources_in(&workspace.join(folder)) {
            let text = fs::read_to_string(&file).expect("a source that was just listed");
            wrong.extend(mentions(&text, words).into_iter().map(|word| format!("{}: {word}", file.display())));
        }
    }
    assert!(wrong.is_empty(), "imports against the arrows of ARCHITECTURE.md:\n{}", wrong.join("\n"));
}

#[test]
fn an_arrow_in_the_wrong_direction_is_seen_however_it_is_written() {
    for wrong in [
        "use crate::ledger::Ledger;",
        "pub use crate::ledger::{Ledger, Step};",
        "use crate::{\n    lifecycle::{Act, Record},\n    ledger::{Ledger, Step},\n};",
        "use crate::{ledger, lifecycle};",
        "#[cfg(test)]\nmod tests;\n\nfn f() -> crate::ledger::Ledger {}",
    ] {
        assert_eq!(mentions(wrong, &["crate::ledger"]), ["crate::ledger"], "{wrong}");
    }
    for right in [
        "use crate::lifecycle::{Act, ledger};",
        "use crate::{lifecycle::{ledger, Act}, settings};",
        "// as crate::ledger does",
        "#[cfg(test)]\nmod tests {\n    use crate::ledger::Ledger;\n}",
    ] {
        assert_eq!(mentions(right, &["crate::ledger"]), [""; 0], "{right}");
    }
}

/// The `words` that a source mentions, in whatever form. Words in comments are no imports, and tests may look at
/// anything.
fn mentions<'a>(source: &str, words: &[&'a str]) -> Vec<&'a str> {
    let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code = lines.collect::<Vec<_>>().join("\n");
    let in_groups = code.split("crate::{").skip(1).flat_map(first_names);
    let code = in_groups.fold(code.clone(), |code, name| format!("{code}\ncrate::{name}"));
    words.iter().copied().filter(|word| code.contains(word)).collect()
}

/// The first name of each path in `a::{b, c}, d::e}…`, up to the brace that closes it.
fn first_names(group: &str) -> Vec<String> {
    let (mut depth, mut paths) = (0, String::new());
    for letter in group.chars() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            letter if depth == 0 => paths.push(letter),
            _ => {}
        }
    }
    paths.split(',').map(|path| path.split("::").next().unwrap_or_default().trim().to_owned()).collect()
}

#[test]
fn the_check_reads_what_it_means_to_read() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the worker lies in the workspace");
    for (folder, _) in FORBIDDEN {
        assert!(!sources_in(&workspace.join(folder)).is_empty(), "{folder} has no sources");
    }
}

fn sources_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut sources = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" && name != "target" {
            sources.extend(sources_in(&path));
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
            sources.push(path);
        }
    }
    sources
}
