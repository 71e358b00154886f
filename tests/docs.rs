//! The documents: links and anchors lead somewhere, and every test that a promise names exists.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::fs;
use std::path::{Component, Path, PathBuf};

/// The Markdown files that people read, relative to the project.
fn pages(project: &Path) -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
        .map(PathBuf::from)
        .into();
    for folder in ["docs", "tests/golden", "scripts/presenter"] {
        for entry in fs::read_dir(project.join(folder)).unwrap() {
            let name = entry.unwrap().file_name();
            if Path::new(&name).extension().is_some_and(|e| e == "md") {
                pages.push(Path::new(folder).join(name));
            }
        }
    }
    pages
}

/// The lines of a page outside code blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    })
}

/// The targets of all links in a line.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
}

/// The anchor that GitHub makes of a heading.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let text = text
        .chars()
        .filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
    text.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// `path` with `..` taken out.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => _ = normal.pop(),
            part => normal.push(part),
        }
    }
    normal
}

#[test]
fn links_lead_somewhere() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut broken = Vec::new();
    let mut checked = 0;
    for page in pages(project) {
        let text = fs::read_to_string(project.join(&page)).unwrap();
        for link in prose(&text)
            .flat_map(links)
            .filter(|link| !link.contains("://"))
        {
            checked += 1;
            let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
            let folder = page.parent().unwrap();
            let target = if path.is_empty() {
                page.clone()
            } else {
                normal(&folder.join(path))
            };
            let is_there = project.join(&target).exists();
            let has_anchor = fragment.is_empty()
                || fs::read_to_string(project.join(&target)).is_ok_and(|text| {
                    prose(&text).any(|line| line.starts_with('#') && anchor(line) == fragment)
                });
            if !is_there || !has_anchor {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(checked > 100, "only {checked} links were found");
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn promises_name_tests_that_exist() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(project.join("docs/promises.md")).unwrap();
    let mut missing = Vec::new();
    let mut checked = 0;
    for row in text.lines().filter(|line| line.starts_with('|')) {
        // [`file.rs`](../path/file.rs) `test`, `another`; ..
        for group in row.split("](").skip(1) {
            let (path, names) = group.split_once(')').unwrap();
            let source = fs::read_to_string(project.join("docs").join(path)).unwrap_or_default();
            let names = names
                .split('[')
                .next()
                .unwrap()
                .split('`')
                .skip(1)
                .step_by(2);
            for name in names {
                checked += 1;
                if !source.contains(&format!("fn {name}(")) {
                    missing.push(format!("{path}: {name}"));
                }
            }
        }
    }
    assert!(checked > 50, "only {checked} tests were found");
    assert!(missing.is_empty(), "{missing:#?}");
}
