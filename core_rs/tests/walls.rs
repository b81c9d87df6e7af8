//! The walls of the core: its modules import one way only.
#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// All modules of the core, the root (which has no name) last. Each may import those before it and no other.
const ROOMS: [&str; 35] = [
    "error",
    "wire",
    "keys",
    "native::items",
    "native::columns",
    "native::layout",
    "native::reader",
    "native",
    "index",
    "pages",
    "roles",
    "journey",
    "group",
    "block",
    "included",
    "chosen",
    "counts",
    "days",
    "selection",
    "names",
    "values",
    "streams",
    "arrange",
    "unit",
    "answer::fields",
    "answer::parallel",
    "answer::order",
    "answer::messages",
    "answer::days",
    "answer::json",
    "answer",
    "counted",
    "tally",
    "resident",
    "",
];

/// What the modules of a folder may import apart from one another.
const FOLDERS: [(&str, &[&str]); 1] = [(
    "answer",
    &["error", "wire", "pages", "roles", "counts", "days"],
)];

/// The source of each module. The crate's root has no name.
fn sources(folder: &Path, name: &str) -> BTreeMap<String, String> {
    let mut sources = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let module = match (name, stem) {
            (name, "mod" | "lib") => name.to_owned(),
            ("", stem) => stem.to_owned(),
            (name, stem) => format!("{name}::{stem}"),
        };
        if path.is_dir() {
            sources.append(&mut self::sources(&path, &module));
        } else {
            sources.insert(module, fs::read_to_string(&path).unwrap());
        }
    }
    sources
}

/// A source without its comments, its tests (which stand at its end) and the paths in its macros, which are for the
/// modules that call them.
fn code(source: &str) -> String {
    let lines = source.lines();
    let lines = lines.take_while(|line| *line != "#[cfg(test)]");
    let lines = lines.map(|line| line.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n").replace("$crate::", "")
}

/// The paths of a source that begin with `crate::` or `super::`, without the names in braces.
fn paths(code: &str) -> Vec<String> {
    let is_path = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
    let parts = code.split(|letter| !is_path(letter));
    let paths = parts.filter(|part| part.starts_with("crate::") || part.starts_with("super::"));
    paths
        .map(|path| path.trim_end_matches(':').to_owned())
        .collect()
}

/// The module that a path leads to, which is the longest that its beginning names.
fn room_of(path: &str) -> Option<&'static str> {
    let path = path.strip_prefix("crate::")?;
    let leads_to = |room: &&&str| {
        let rest = path.strip_prefix(**room);
        !room.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    ROOMS
        .iter()
        .filter(leads_to)
        .max_by_key(|room| room.len())
        .copied()
}

/// What is wrong with an import, if anything is.
fn fault(module: &str, path: &str) -> Option<String> {
    let place = |name: &str| ROOMS.iter().position(|room| *room == name);
    let Some(room) = room_of(path) else {
        return Some(format!(
            "{module} imports {path}: name the module that it comes from, from crate:: on"
        ));
    };
    if place(room) >= place(module) {
        return Some(format!(
            "{module} imports {path}, but {room} stands after {module} in the order of modules"
        ));
    }
    let (folder, allowed) = FOLDERS
        .iter()
        .find(|(folder, _)| module.split("::").next() == Some(folder))?;
    let is_inside = room.split("::").next() == Some(folder);
    (!is_inside && !allowed.contains(&room)).then(|| {
        format!(
            "{module} imports {path}, but {folder} imports {} alone",
            allowed.join(", ")
        )
    })
}

#[test]
fn imports_go_one_way() {
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "");
    let mut modules: Vec<_> = sources.keys().map(String::as_str).collect();
    let mut rooms = ROOMS;
    modules.sort_unstable();
    rooms.sort_unstable();
    assert_eq!(
        modules, rooms,
        "the modules of core_rs/src, and those in the order of modules"
    );

    let mut faults = Vec::new();
    let mut imports = 0;
    for (module, source) in sources.iter().filter(|(module, _)| !module.is_empty()) {
        for path in paths(&code(source)) {
            imports += 1;
            faults.extend(fault(module, &path));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    // The reading above still finds them.
    assert!(imports > 30, "only {imports} imports were found");
}

#[test]
fn a_wrong_import_is_named() {
    let found = paths(&code(
        "use crate::counted::{Counted, SharedPages};\n\
         use crate::pages::PageId; // crate::unit\n\
         #[cfg(test)]\n\
         mod tests { use super::*; }",
    ));
    assert_eq!(found, ["crate::counted", "crate::pages::PageId"]);
    assert_eq!(fault("answer::order", "crate::pages::PageId"), None);
    assert_eq!(
        fault("answer::order", "crate::tally").unwrap(),
        "answer::order imports crate::tally, but tally stands after answer::order in the order of modules"
    );
    assert_eq!(
        fault("answer::json", "crate::block::Session").unwrap(),
        "answer::json imports crate::block::Session, but answer imports error, wire, pages, roles, counts, days alone"
    );
    for path in ["crate::Error", "super::order", "crate::nowhere::Name"] {
        assert!(
            fault("answer::json", path)
                .unwrap()
                .contains("name the module"),
            "{path}"
        );
    }
}
