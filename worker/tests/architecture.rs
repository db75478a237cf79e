//! The arrows of ARCHITECTURE.md: who may import whom. Read from the sources, so that an arrow in the
//! wrong direction fails here before it is a habit.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// For each folder below the workspace: what its sources must not mention.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("producer-lib/src/contract", &["redis::", "tokio", "async fn", "crate::link", "crate::producer", "crate::events"]),
    (
        "worker/src/lifecycle",
        &[
            "crate::ledger",
            "crate::upstream",
            "crate::engine",
            "crate::admin",
            "crate::cli",
            "crate::settings",
            "redis::",
            "reqwest",
            "tokio",
            "rand::",
            "SystemTime",
            "Instant::now",
        ],
    ),
    ("worker/src/ledger", &["crate::upstream", "crate::engine", "crate::admin", "crate::cli", "crate::settings"]),
    ("worker/src/upstream", &["crate::ledger", "crate::engine", "crate::admin", "crate::cli", "crate::settings"]),
    ("worker/src/engine", &["crate::admin", "crate::cli"]),
    ("worker/src/admin", &["crate::engine", "crate::cli", "crate::upstream"]),
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
            // Words in comments are no imports, and tests may look at anything.
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let lines = code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
            for (number, line) in lines {
                for word in words.iter().filter(|word| line.contains(**word)) {
                    wrong.push(format!("{}:{}: {word}", file.display(), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "imports against the arrows of ARCHITECTURE.md:\n{}", wrong.join("\n"));
}

#[test]
fn the_check_reads_what_it_means_to_read() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the worker lies in the workspace");
    for (folder, _) in FORBIDDEN.iter().filter(|(folder, _)| folder.starts_with("worker") || folder.starts_with("prod"))
    {
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
