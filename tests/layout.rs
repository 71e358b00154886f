//! The source keeps to the order in docs/architecture.md: a room uses only rooms below its own line, the files of a folder
//! do not depend on each other in a circle, and only `cli` knows the terminal.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Room -> line of the order, from 0 at the top. Rooms on one line do not use each other.
type Order = BTreeMap<String, usize>;

/// A file of src: its module path (`["encode", "clip"]`; a room's mod.rs is `["encode"]`) and its text.
struct Module {
    path: Vec<String>,
    file: PathBuf,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The first `text` block below the heading "The order" in docs/architecture.md.
fn documented_order() -> Order {
    let page = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let section = page.split("## The order").nth(1).unwrap();
    let block = section.split("```text\n").nth(1).unwrap();
    let lines: Vec<&str> = block.split("```").next().unwrap().lines().collect();
    assert!(lines.len() <= 15, "the order fits in 15 lines");
    let mut order = Order::new();
    for (n, line) in lines.iter().enumerate() {
        // Rooms come first; two spaces separate them from the explanation.
        for room in line.split("  ").next().unwrap().split(' ') {
            assert!(order.insert(room.into(), n).is_none(), "{room} twice");
        }
    }
    order
}

fn modules() -> Vec<Module> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let file = entry.unwrap().path();
            if file.is_dir() {
                folders.push(file);
            } else if file.extension().is_some_and(|e| e == "rs") {
                let relative = file.strip_prefix(root().join("src")).unwrap();
                let mut path: Vec<String> = relative
                    .with_extension("")
                    .iter()
                    .map(|part| part.to_string_lossy().into_owned())
                    .collect();
                path.pop_if(|last| last == "mod");
                let is_crate_root = path.len() == 1 && ["lib", "main"].contains(&&*path[0]);
                let is_build_script = path.ends_with(&["build".into()]);
                if !is_crate_root && !is_build_script {
                    found.push(Module {
                        text: fs::read_to_string(&file).unwrap(),
                        path,
                        file,
                    });
                }
            }
        }
    }
    found
}

/// The modules that `module` names in its code: absolute paths, as far as they are written out.
fn uses(module: &Module) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    let mut depth = 0;
    for line in module.text.lines() {
        if line.contains("mod tests {") {
            // An inline module, as `mod tests` is, up to the end of the file: its `super` is the file itself.
            depth = 1;
        }
        let code = line.split("//").next().unwrap();
        for (at, _) in code.match_indices("crate::") {
            let is_whole_word = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            if is_whole_word {
                found.extend(paths(&[], &code[at + "crate::".len()..]));
            }
        }
        let mut rest = code;
        while let Some(at) = rest.find("super::") {
            let is_first = !rest[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            rest = &rest[at..];
            let mut up = 0;
            while let Some(after) = rest.strip_prefix("super::") {
                rest = after;
                up += 1;
            }
            let up = up - depth.min(up);
            if is_first && up > 0 && up <= module.path.len() {
                found.extend(paths(&module.path[..module.path.len() - up], rest));
            }
        }
    }
    found
}

/// `base` and what is written after it: `a::b::C` is one path, `{a::B, c}` are two.
fn paths(base: &[String], written: &str) -> Vec<Vec<String>> {
    let word_end = |text: &str| {
        text.find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(text.len())
    };
    if let Some(list) = written.strip_prefix('{') {
        let list = list.split('}').next().unwrap();
        let items = list.split(',').map(str::trim).filter(|i| !i.is_empty());
        return items.flat_map(|item| paths(base, item)).collect();
    }
    let mut path = base.to_vec();
    let mut rest = written;
    loop {
        let end = word_end(rest);
        if end > 0 {
            path.push(rest[..end].into());
        }
        match rest[end..].strip_prefix("::") {
            Some(after) if after.starts_with('{') => return paths(&path, after),
            Some(after) => rest = after,
            None => return vec![path],
        }
    }
}

/// What breaks the order.
fn upward(order: &Order, modules: &[Module]) -> Vec<String> {
    let mut wrong = Vec::new();
    for module in modules {
        let room = &module.path[0];
        let Some(line) = order.get(room) else {
            wrong.push(format!("`{room}` is not in the order"));
            continue;
        };
        for used in uses(module) {
            let Some(other) = used.first().filter(|other| *other != room) else {
                continue;
            };
            // What is no room is an item that lib.rs exports: the tests' way in, not the source's.
            if order.get(other).is_none_or(|below| below <= line) {
                wrong.push(format!(
                    "{}: `{room}` uses `{other}`, which is not below it",
                    module.file.display()
                ));
            }
        }
    }
    wrong
}

/// Circles among the children of each module, each as the names on its way round.
fn circles(modules: &[Module]) -> Vec<String> {
    let mut edges: BTreeMap<Vec<String>, BTreeSet<Vec<String>>> = BTreeMap::new();
    for module in modules {
        for used in uses(module) {
            let common = module.path.iter().zip(&used).take_while(|(a, b)| a == b);
            let common = common.count();
            // Both lie in different children of one module. A child and its own mod.rs are one thing.
            let (Some(_), Some(_)) = (module.path.get(common), used.get(common)) else {
                continue;
            };
            let (from, to) = (&module.path[..=common], &used[..=common]);
            if modules.iter().any(|other| other.path == to) {
                edges.entry(from.to_vec()).or_default().insert(to.to_vec());
            }
        }
    }
    let reaches = |from: &Vec<String>, to: &Vec<String>| {
        let mut seen = BTreeSet::new();
        let mut open = vec![from];
        while let Some(next) = open.pop() {
            for other in edges.get(next).into_iter().flatten() {
                if other == to {
                    return true;
                }
                if seen.insert(other) {
                    open.push(other);
                }
            }
        }
        false
    };
    let in_circles = edges.keys().filter(|module| reaches(module, module));
    in_circles.map(|module| module.join("::")).collect()
}

fn module(path: &str, text: &str) -> Module {
    Module {
        path: path.split("::").map(Into::into).collect(),
        file: path.into(),
        text: text.into(),
    }
}

#[test]
fn rooms_use_only_what_stands_below_them() {
    let modules = modules();
    assert!(modules.len() > 100, "found {} files", modules.len());
    let wrong = upward(&documented_order(), &modules);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_files_depend_on_each_other_in_a_circle() {
    let found = circles(&modules());
    assert!(found.is_empty(), "in a circle: {}", found.join(", "));
}

#[test]
fn planted_faults_are_found() {
    let order = documented_order();
    let planted = |text| upward(&order, &[module("image::pool", text)]).len();
    assert_eq!(planted("use crate::timeline::FrameRate;"), 0);
    assert_eq!(planted("use super::{Picture, Rect};"), 0);
    assert_eq!(planted("// crate::cli would be wrong"), 0);
    assert_eq!(planted("use crate::cli::main;"), 1);
    assert_eq!(planted("    let plan = crate::plan::Plan::new();"), 1);
    assert_eq!(planted("use super::super::{render, audio};"), 2);
    assert_eq!(
        planted("mod tests {\n    use super::super::super::render;"),
        1
    );
    assert_eq!(planted("mod tests {\n    use super::super::Picture;"), 0);

    let both_ways = [
        module("encode", "mod clip;\nmod video;"),
        module("encode::clip", "use super::video::VideoTrack;"),
        module(
            "encode::video",
            "use crate::encode::{Sink, clip::ClipSpec};",
        ),
    ];
    assert_eq!(circles(&both_ways), ["encode::clip", "encode::video"]);
    assert!(circles(&both_ways[..2]).is_empty());
}

#[test]
fn only_cli_draws_on_the_terminal() {
    for module in modules() {
        let knows = ["indicatif", "clap_complete", "clap_mangen"];
        let knows = knows.iter().find(|name| module.text.contains(*name));
        assert!(
            module.path[0] == "cli" || knows.is_none(),
            "{} names {knows:?}",
            module.file.display()
        );
    }
}

#[test]
fn the_top_of_src_stays_small() {
    let files = fs::read_dir(root().join("src")).unwrap();
    let files = files.filter(|e| e.as_ref().unwrap().path().is_file());
    assert!(files.count() <= 6, "files beside the folders of src");
    let text = modules().into_iter().map(|m| m.text);
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let public = text
        .chain([lib])
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .filter(|line| line.trim_start().starts_with("pub mod "))
        .count();
    assert!(public <= 12, "{public} public modules");
}
