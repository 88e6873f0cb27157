//! The house rules that a compiler does not know: floors, heads, sizes.

use std::fs;
use std::path::{Path, PathBuf};

const MOST_LINES: usize = 500;
const MOST_COLUMNS: usize = 100;

/// A part of a module that stands on a floor above the rest of it, and the module below it.
const RAISED: &str = "pool::process";
const BELOW_RAISED: &str = "launch";

/// The modules that `lib.rs` declares, lowest floor first, and the raised one.
fn floors(lib: &str) -> Vec<&str> {
    let name = |line: &'_ str| -> Option<(usize, usize)> {
        let line_start = line.as_ptr() as usize - lib.as_ptr() as usize;
        let declared = line
            .strip_prefix("pub ")
            .unwrap_or(line)
            .strip_prefix("mod ")?;
        let name = declared.strip_suffix(';')?;
        let start = line_start + line.len() - declared.len();
        Some((start, start + name.len()))
    };
    let declared = lib.lines().filter_map(name);
    let declared = declared.map(|(start, end)| &lib[start..end]);
    let with_raised = |module| match module {
        BELOW_RAISED => vec![module, RAISED],
        _ => vec![module],
    };
    declared.flat_map(with_raised).collect()
}

/// The module of the crate's root, or the raised one, that a file belongs to; none for `lib.rs`.
fn top_module(path: &Path) -> Option<String> {
    if path
        .with_extension("")
        .starts_with(RAISED.replace("::", "/"))
    {
        return Some(RAISED.to_owned());
    }
    let first = path.iter().next()?.to_str()?;
    let module = first.strip_suffix(".rs").unwrap_or(first);
    (module != "lib").then(|| module.to_owned())
}

/// The lines that are code, with their numbers. A comment may name what it likes.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text
        .lines()
        .enumerate()
        .map(|(number, line)| (number + 1, line));
    lines.map(|(number, line)| (number, line.split("//").next().unwrap_or("")))
}

/// Uses of modules that do not stand above the file's own in `lib.rs`.
fn upward_edges(floors: &[&str], path: &Path, text: &str) -> Vec<String> {
    let Some(own) = top_module(path) else {
        return Vec::new();
    };
    let floor = |module: &str| floors.iter().position(|&other| other == module);
    let mut edges = Vec::new();
    for (number, line) in code(text) {
        for used in line.split("crate::").skip(1).flat_map(first_segments) {
            if used != own && floor(used).is_some_and(|used| Some(used) > floor(&own)) {
                edges.push(format!("{}:{number}: {own} uses {used}", path.display()));
            }
        }
    }
    edges
}

/// What stands behind `crate::`: one name, or several in braces.
fn first_segments(rest: &str) -> Vec<&str> {
    if rest.starts_with(RAISED) {
        return vec![RAISED];
    }
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let name = |text: &'_ str| text.find(|c| !is_name(c)).unwrap_or(text.len());
    match rest.strip_prefix('{') {
        None => vec![&rest[..name(rest)]],
        Some(list) => list
            .split(',')
            .map(str::trim_start)
            .map(|item| &item[..name(item)])
            .collect(),
    }
}

fn has_no_head(path: &Path, text: &str) -> Vec<String> {
    if text.starts_with("//! ") {
        vec![]
    } else {
        vec![format!("{}: no //! head", path.display())]
    }
}

fn is_too_long(path: &Path, text: &str) -> Vec<String> {
    match text.lines().count() {
        lines if lines > MOST_LINES => vec![format!("{}: {lines} lines", path.display())],
        _ => vec![],
    }
}

fn too_wide_lines(path: &Path, text: &str) -> Vec<String> {
    let wide = text
        .lines()
        .enumerate()
        .filter(|(_, line)| line.chars().count() > MOST_COLUMNS);
    wide.map(|(number, _)| format!("{}:{}: too wide", path.display(), number + 1))
        .collect()
}

fn unfinished(path: &Path, text: &str) -> Vec<String> {
    // Spelled in two parts, for this file is read as well.
    let words = [
        ["to", "do!"].concat(),
        ["FIX", "ME"].concat(),
        ["XX", "X"].concat(),
    ];
    let lines = text.lines().enumerate();
    let found = lines.filter(|(_, line)| words.iter().any(|word| line.contains(word)));
    found
        .map(|(number, _)| format!("{}:{}: unfinished", path.display(), number + 1))
        .collect()
}

/// Every source below `root`, by its path from there.
fn sources(root: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root).unwrap().to_owned(), text));
            }
        }
    }
    found.sort();
    found
}

fn runtime() -> Vec<(PathBuf, String)> {
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("runtime"));
    assert!(sources.len() > 20, "the sources are elsewhere");
    sources
}

/// The sources of the benches, which the package of a release does not have.
fn benches() -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches");
    if folder.exists() {
        sources(&folder)
    } else {
        Vec::new()
    }
}

fn broken(rule: impl Fn(&Path, &str) -> Vec<String>, sources: &[(PathBuf, String)]) -> String {
    sources
        .iter()
        .flat_map(|(path, text)| rule(path, text))
        .collect::<Vec<_>>()
        .join("\n")
}

#[track_caller]
fn keep(rule: impl Fn(&Path, &str) -> Vec<String>, sources: &[(PathBuf, String)]) {
    let broken = broken(rule, sources);
    assert!(broken.is_empty(), "\n{broken}");
}

#[test]
fn no_module_uses_one_of_a_higher_floor() {
    let sources = runtime();
    let lib = &sources
        .iter()
        .find(|(path, _)| path == Path::new("lib.rs"))
        .unwrap()
        .1;
    let floors = floors(lib);
    assert!(
        floors.len() > 8,
        "lib.rs declares its modules in another way: {floors:?}"
    );
    keep(|path, text| upward_edges(&floors, path, text), &sources);
}

#[test]
fn every_file_begins_with_what_it_is() {
    keep(has_no_head, &runtime());
    keep(has_no_head, &benches());
}

#[test]
fn no_file_is_longer_than_a_sitting() {
    keep(is_too_long, &runtime());
    keep(is_too_long, &benches());
}

#[test]
fn no_line_is_wider_than_a_hundred_columns() {
    keep(too_wide_lines, &runtime());
    keep(too_wide_lines, &benches());
}

#[test]
fn nothing_is_left_unfinished() {
    let tests = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"));
    keep(unfinished, &runtime());
    keep(unfinished, &benches());
    keep(unfinished, &tests);
}

#[test]
fn each_rule_finds_what_breaks_it() {
    let floors = floors("mod low;\n#[expect(x)]\nmod middle;\npub mod high;\nmod tests { }\n");
    assert_eq!(floors, ["low", "middle", "high"]);
    let edges = |path: &str, text: &str| upward_edges(&floors, Path::new(path), text).len();
    assert_eq!(edges("low.rs", "use crate::high::Thing;"), 1);
    assert_eq!(
        edges(
            "low/child.rs",
            "let x = crate::middle::f(crate::high::g());"
        ),
        2
    );
    assert_eq!(edges("low.rs", "use crate::{middle::A, high};"), 2);
    assert_eq!(
        edges(
            "low.rs",
            "//! crate::high\n/// [`crate::high`]\nf(); // crate::high"
        ),
        0
    );
    assert_eq!(
        edges("middle.rs", "use crate::low::A;\nuse crate::middle::B;"),
        0
    );
    assert_eq!(edges("high.rs", "use crate::{low, middle};"), 0);
    assert_eq!(edges("lib.rs", "pub use crate::high::A;"), 0);

    let floors = self::floors("mod pool;\nmod launch;\nmod patch;\n");
    assert_eq!(floors, ["pool", "launch", RAISED, "patch"]);
    let edges = |path: &str, text: &str| upward_edges(&floors, Path::new(path), text).len();
    assert_eq!(edges("pool.rs", "use crate::launch::A;"), 1);
    assert_eq!(edges("pool/processes.rs", "use crate::launch::A;"), 1);
    assert_eq!(edges("pool/process.rs", "use crate::launch::A;"), 0);
    assert_eq!(edges("pool/process/a.rs", "use crate::{launch, pool};"), 0);
    assert_eq!(edges("pool/process/a.rs", "use crate::patch::A;"), 1);
    assert_eq!(edges("pool/group.rs", "use crate::pool::process::A;"), 1);

    let path = Path::new("a.rs");
    assert_eq!(has_no_head(path, "use std::fmt;\n//! late").len(), 1);
    assert_eq!(has_no_head(path, "//! What it is.").len(), 0);
    assert_eq!(is_too_long(path, &"\n".repeat(MOST_LINES + 1)).len(), 1);
    assert_eq!(is_too_long(path, &"\n".repeat(MOST_LINES)).len(), 0);
    let wide = "ü".repeat(MOST_COLUMNS + 1);
    assert_eq!(
        too_wide_lines(path, &format!("a\n{wide}\n")),
        ["a.rs:2: too wide"]
    );
    assert_eq!(too_wide_lines(path, &"ü".repeat(MOST_COLUMNS)).len(), 0);
    assert_eq!(
        unfinished(path, &["a\n// FIX", "ME\nto", "do!()"].concat()).len(),
        2
    );
    assert_eq!(unfinished(path, "a method").len(), 0);
}
