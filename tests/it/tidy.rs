//! Rules of the code base: imports run downwards and never in a circle, the core does no I/O, files
//! stay small, and documents name what exists.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The layers, lowest first. Below `adapters` each adapter is a layer of its own.
const LAYERS: [&str; 35] = [
    "model",
    "collections",
    "stats",
    "detect",
    "data_plane",
    "control_plane",
    "engine",
    "formats",
    "adapters::host",
    "adapters::clock",
    "adapters::metrics",
    "adapters::storage",
    "adapters::target",
    "adapters::egress",
    "adapters::redis_connection",
    "adapters::fleet",
    "adapters::health",
    "adapters::recent_events",
    "adapters::channels",
    "adapters::watchlist",
    "adapters::console",
    "adapters::data_plane",
    "adapters::control_plane",
    "adapters::checkpoint",
    "adapters::event_log",
    "adapters::journal",
    "adapters::sources",
    "adapters::enforce",
    "adapters::notify",
    "adapters::leaks",
    "adapters::http",
    "config",
    "daemon",
    "sim",
    "cli",
];

/// What a layer must not import even though it lies below. The planes know each other by
/// [`tripline::model::signal`] alone.
const WALLS: [(&str, &str); 4] =
    [("stats", "model"), ("control_plane", "data_plane"), ("sim", "daemon"), ("config", "daemon")];

/// The layers that decide: no I/O, no clock, no randomness, no logging, no serde.
const CORE: [&str; 7] =
    ["model", "collections", "stats", "detect", "data_plane", "control_plane", "engine"];

const FORBIDDEN_IN_CORE: [&str; 20] = [
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::process",
    "std::thread",
    "std::env",
    "std::io",
    "std::time::",
    "SystemTime",
    "Instant::now",
    "tokio",
    "axum",
    "redis::",
    "rdkafka",
    "reqwest",
    "rusqlite",
    "tracing",
    "getrandom",
    "serde",
    "prometheus",
];

/// Lines of a source file at most. The reader of settings, the client and the like are one thing
/// each; a file beyond this is several.
const LINES_MAX: usize = 560;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// The source files with their module's path, `data_plane::batch` say.
fn modules() -> BTreeMap<String, String> {
    let mut files = Vec::new();
    rust_files(&root().join("src"), &mut files);
    let name = |path: &Path| {
        let path = path.strip_prefix(root().join("src")).expect("below src").with_extension("");
        let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        let parts: Vec<_> = parts.into_iter().filter(|part| part != "mod").collect();
        parts.join("::")
    };
    files.iter().map(|path| (name(path), std::fs::read_to_string(path).expect("reads"))).collect()
}

/// What stands before the tests, without comments.
fn code(text: &str) -> String {
    let before_tests = text.split("#[cfg(test)]").next().unwrap_or("");
    let lines = before_tests.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Every `crate::…` and `super::…` path in the code, with `{…}` groups resolved.
fn imports(module: &str, code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let flat = code.replace("use ", ";").replace(['\n', ' '], "");
    let begins =
        |at: usize| !flat[..at].ends_with(|c: char| c.is_alphanumeric() || "_:".contains(c));
    for (at, _) in flat.match_indices("crate::").filter(|(at, _)| begins(*at)) {
        collect(&flat[at + "crate::".len()..], "", &mut found);
    }
    for (at, _) in flat.match_indices("super::").filter(|(at, _)| begins(*at)) {
        let (mut rest, mut parent) = (&flat[at..], module);
        while let Some(further) = rest.strip_prefix("super::") {
            parent = parent.rsplit_once("::").map_or("", |(parent, _)| parent);
            rest = further;
        }
        collect(rest, parent, &mut found);
    }
    found
}

fn collect(text: &str, prefix: &str, found: &mut BTreeSet<String>) {
    let end =
        text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(text.len());
    let (path, rest) = text.split_at(end);
    let path = path.trim_end_matches("::");
    let joined = if prefix.is_empty() { path.to_owned() } else { format!("{prefix}::{path}") };
    if let Some(group) = rest.strip_prefix('{') {
        let mut depth = 1;
        let mut start = 0;
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if (c == ',' && depth == 1) || depth == 0 {
                collect(&group[start..at], &joined, found);
                start = at + 1;
            }
            if depth == 0 {
                break;
            }
        }
    } else if !joined.is_empty() {
        found.insert(joined.trim_end_matches("::self").to_owned());
    }
}

fn layer(path: &str) -> Option<usize> {
    let mut parts = path.split("::");
    let mut name = parts.next()?.to_owned();
    if name == "adapters" {
        name = format!("{name}::{}", parts.next()?);
    }
    LAYERS.iter().position(|layer| *layer == name)
}

#[test]
fn imports_run_downwards_and_not_between_the_planes() {
    let mut broken = Vec::new();
    for (module, text) in modules() {
        let is_folder =
            module.is_empty() || module == "adapters" || module == "lib" || module == "main";
        let Some(own) = layer(&module) else {
            assert!(is_folder, "`{module}` is in no layer");
            continue;
        };
        for import in imports(&module, &code(&text)) {
            let Some(other) = layer(&import) else { continue };
            let wall = WALLS.iter().any(|(from, to)| LAYERS[own] == *from && LAYERS[other] == *to);
            if other > own || wall {
                broken.push(format!("{module} imports {import}"));
            }
        }
    }
    assert!(broken.is_empty(), "upwards or between the planes: {broken:#?}");
}

#[test]
fn no_modules_import_each_other_in_a_circle_parents_included() {
    let modules = modules();
    let owner = |import: &str| {
        let mut path = import;
        loop {
            if modules.contains_key(path) {
                return Some(path.to_owned());
            }
            path = path.rsplit_once("::")?.0;
        }
    };
    let graph: BTreeMap<String, BTreeSet<String>> = modules
        .iter()
        .map(|(module, text)| {
            let of = imports(module, &code(text));
            let to = of.iter().filter_map(|import| owner(import));
            let apart = |other: &String| other != module;
            (module.clone(), to.filter(apart).collect())
        })
        .collect();
    for start in graph.keys() {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&String> = graph[start].iter().collect();
        while let Some(next) = open.pop() {
            assert_ne!(next, start, "{start} imports itself by way of others");
            if seen.insert(next) {
                open.extend(graph.get(next).into_iter().flatten());
            }
        }
    }
}

/// So a parent has nothing that its children could import.
#[test]
fn a_module_with_children_holds_docs_and_declarations_alone() {
    let mut files = Vec::new();
    rust_files(&root().join("src"), &mut files);
    for file in files.iter().filter(|file| file.ends_with("mod.rs")) {
        let text = std::fs::read_to_string(file).expect("reads");
        let declares = |line: &str| line.starts_with("pub mod ") && line.ends_with(';');
        if text.lines().any(declares) {
            let is_plain = |line: &str| {
                declares(line)
                    || line.is_empty()
                    || line.starts_with("//!")
                    || line.starts_with('#')
            };
            let other = text.lines().find(|line| !is_plain(line));
            assert_eq!(other, None, "{}", file.display());
        }
    }
}

#[test]
fn the_core_does_no_io_and_reads_no_clock() {
    let mut broken = Vec::new();
    for (module, text) in modules() {
        if !CORE.contains(&module.split("::").next().unwrap_or("")) {
            continue;
        }
        let code = code(&text);
        for forbidden in FORBIDDEN_IN_CORE {
            if code.contains(forbidden) {
                broken.push(format!("{module} names {forbidden}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_tidy_test_sees_what_it_is_for() {
    let found = |code: &str| imports("policy::budget", code).into_iter().collect::<Vec<_>>();
    assert_eq!(
        found("use crate::data_plane::{batch::Batch, partition};"),
        ["data_plane::batch::Batch", "data_plane::partition"]
    );
    assert_eq!(
        found("use super::verdict::{self, Verdict};"),
        ["policy::verdict", "policy::verdict::Verdict"]
    );
    assert_eq!(found("let x = crate::adapters::clock::now();"), ["adapters::clock::now"]);
    assert_eq!(found("super::super::slab::Slab::new()"), ["slab::Slab::new"]);
}

#[test]
fn every_module_states_its_purpose_and_stays_small() {
    for (module, text) in modules() {
        assert!(text.starts_with("//! "), "{module} has no head");
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "{module} has {lines} lines");
    }
}

#[test]
fn the_image_is_built_from_all_that_the_binary_holds() {
    let wanted = std::fs::read_to_string(root().join(".dockerignore")).expect("a file");
    let is_wanted = |path: &str| {
        let mut lines = wanted.lines().filter_map(|line| line.strip_prefix('!'));
        lines.any(|wanted| Path::new(path).starts_with(wanted))
    };
    let mut files = Vec::new();
    rust_files(&root().join("src"), &mut files);
    let mut seen = 0;
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a source file");
        for part in text.split("include_str!(\"").skip(1) {
            let named = part.split('"').next().expect("a name");
            let mut path = file.parent().expect("a folder").to_owned();
            for step in Path::new(named).components() {
                if step == std::path::Component::ParentDir {
                    assert!(path.pop(), "{named}");
                } else {
                    path.push(step);
                }
            }
            // Names in macros are no paths.
            let Ok(path) = path.strip_prefix(root()) else { continue };
            let path = path.display().to_string();
            assert!(is_wanted(&path), "{path} is left out by .dockerignore");
            seen += 1;
        }
    }
    assert!(seen > 15, "{seen}");
}

/// All files of documentation.
fn documents() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        ["README", "ARCHITECTURE", "CONTRIBUTING", "SECURITY", "CHANGELOG"]
            .map(|name| root().join(name).with_extension("md"))
            .into();
    let mut folders = vec![root().join("docs"), root().join("config"), root().join("tests/fuzz")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found
}

/// The anchors of a document's headings, as forges make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let title = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn documents_link_only_to_what_exists() {
    let read = |path: &Path| std::fs::read_to_string(path).expect("a document");
    let mut links = 0;
    for document in documents() {
        let text = read(&document);
        for (at, _) in text.match_indices("](") {
            let link = text[at + 2..].split(')').next().unwrap_or("");
            if link.is_empty() || link.contains("://") {
                continue;
            }
            let (target, anchor) = link.split_once('#').unwrap_or((link, ""));
            let folder = document.parent().expect("a folder");
            let path = if target.is_empty() { document.clone() } else { folder.join(target) };
            let place = document.strip_prefix(root()).expect("within").display();
            assert!(path.exists(), "{place} links to {link}");
            let is_there = anchor.is_empty() || anchors(&read(&path)).contains(anchor);
            assert!(is_there, "{place} links to {link}, which has no such heading");
            links += 1;
        }
    }
    assert!(links > 100, "{links}");
}

#[test]
fn the_readme_is_short_and_the_benchmarks_are_told() {
    let read = |name: &str| std::fs::read_to_string(root().join(name)).expect("a document");
    let words = read("README.md").split_whitespace().count();
    assert!(words <= 600, "README.md has {words} words");
    let told = read("docs/benchmarks.md");
    for entry in std::fs::read_dir(root().join("benches")).expect("a folder").flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            let bench = path.file_stem().and_then(|stem| stem.to_str()).expect("a name");
            let command = format!("cargo bench --bench {bench}");
            assert!(told.contains(&command), "docs/benchmarks.md lacks {command}");
        }
    }
}

#[test]
fn each_guarantee_and_claim_of_safety_names_a_test_that_exists() {
    let mut files = Vec::new();
    for folder in ["src", "tests"] {
        rust_files(&root().join(folder), &mut files);
    }
    let read = |path: &Path| std::fs::read_to_string(path).expect("reads");
    let code: String = files.iter().map(|file| read(file)).collect();
    let modules: Vec<String> = modules().into_keys().collect();
    // `cargo test NAME` runs all tests whose path holds the name.
    let exists = |name: &str| {
        let name =
            name.trim_start_matches("--lib ").trim_start_matches("cargo test --release --lib ");
        let of_module = |module: &String| module.split("::").any(|part| part.contains(name));
        let is_file = root().join(format!("tests/it/{name}.rs")).exists();
        name.starts_with("cargo ")
            || is_file
            || modules.iter().any(of_module)
            || code.match_indices(name).any(|(at, _)| {
                let before = &code[..at];
                let begin = before.rfind(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(0);
                code[..=begin].ends_with("fn ")
            })
    };
    for (document, columns, least) in
        [("docs/guarantees.md", 4, 15), ("docs/crashes.md", 4, 15), ("docs/safety.md", 3, 40)]
    {
        let text = read(&root().join(document));
        let rows = text.lines().filter(|line| {
            let is_row = line.starts_with("| ") && line.matches('|').count() == columns;
            is_row && line.contains('`')
        });
        let mut named = 0;
        for row in rows {
            let shown_by = row.rsplit('|').nth(1).expect("a column");
            let names = shown_by.split('`').skip(1).step_by(2);
            for test in names.filter(|name| name.contains('_') && !name.contains(['[', '/', '.'])) {
                let test = test.split('(').next().unwrap_or(test);
                assert!(exists(test), "{document}: `{test}` does not exist");
                named += 1;
            }
        }
        assert!(named > least, "{document}: {named}");
    }
}

/// Expressions that readers from our field stumble over, and how often each may occur. Unit: times in
/// 10,000 words. Source: twice the highest rate in the comments of seven code bases of the field, or 0.
const DIALECT: [(&str, f64); 14] = [
    ("What ", 1.6),
    ("told", 1.0),
    ("tells of", 1.0),
    ("whoever", 1.0),
    ("anew", 0.2),
    ("nobody", 1.0),
    ("anybody", 1.0),
    ("what stands", 0.0),
    ("goes by", 0.8),
    ("go by", 0.8),
    ("beside", 0.0),
    ("gravest", 0.0),
    ("stands still", 0.0),
    ("of late", 0.0),
];

/// Words of a text that may not be counted: names of settings, metrics and commands.
fn without_code(text: &str) -> String {
    text.split('`').step_by(2).collect::<Vec<_>>().join(" ")
}

/// The comments of all sources.
fn comments() -> Vec<String> {
    let mut files = Vec::new();
    rust_files(&root().join("src"), &mut files);
    let comment = |line: &str| {
        let line = line.trim_start();
        let text = ["///", "//!", "//"].iter().find_map(|mark| line.strip_prefix(mark));
        text.map(|text| text.trim_start().to_owned())
    };
    let read = |file: &PathBuf| std::fs::read_to_string(file).expect("reads");
    let all = files.iter().map(read).collect::<Vec<_>>();
    all.iter().flat_map(|text| text.lines().filter_map(comment)).collect()
}

/// The messages of logs: the texts in calls of `tracing`.
fn log_messages() -> Vec<String> {
    let mut files = Vec::new();
    rust_files(&root().join("src"), &mut files);
    let mut found = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file).expect("reads");
        for (at, _) in text.match_indices("tracing::") {
            let call = text[at..].split(");").next().unwrap_or("");
            found.extend(call.split('"').skip(1).step_by(2).map(str::to_owned));
        }
    }
    found
}

/// The alert and recording rules, the boards and the console: whole, as nearly all of them is read by people.
fn rules_boards_and_console() -> Vec<String> {
    let folders = ["dashboards", "dashboards/rules", "src/adapters/console/assets"];
    let files = folders.map(|folder| std::fs::read_dir(root().join(folder)).expect("a folder"));
    let paths = files.into_iter().flatten().flatten().map(|entry| entry.path());
    let is_ours = |path: &PathBuf| path.is_file() && !path.ends_with("uplot.js");
    let read = |path: PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    let texts = paths.filter(is_ours).map(read).collect::<Vec<_>>();
    texts.iter().flat_map(|text| text.lines().map(str::to_owned)).collect()
}

#[test]
fn the_language_is_that_of_the_field() {
    let document = |path: PathBuf| {
        let text = std::fs::read_to_string(path).expect("reads");
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    // The changelog speaks of older names.
    let guides = documents().into_iter().filter(|path| !path.ends_with("CHANGELOG.md"));
    let is_reference = |path: &PathBuf| path.to_string_lossy().contains("/docs/reference/");
    let (reference, guides): (Vec<_>, Vec<_>) = guides.partition(is_reference);
    let mut above = Vec::new();
    for (corpus, lines) in [
        ("comments", comments()),
        ("documents", guides.into_iter().flat_map(document).collect()),
        ("help and metrics", reference.into_iter().flat_map(document).collect()),
        ("logs", log_messages()),
        ("rules, boards and console", rules_boards_and_console()),
    ] {
        let lines: Vec<String> = lines.iter().map(|line| without_code(line)).collect();
        let words: usize = lines.iter().map(|line| line.split_whitespace().count()).sum();
        assert!(words > 500, "{corpus}: {words} words");
        for (expression, most) in DIALECT {
            let pattern = format!(" {}", expression.trim_end());
            // A sentence that begins with "What" has no subject; within a sentence it is a pronoun.
            let count = |line: &String| match expression {
                "What " => {
                    let is_question = line.contains('?');
                    let begins = line.starts_with(expression) || line.contains(". What ");
                    usize::from(begins && !is_question)
                }
                _ => format!(" {}", line.to_lowercase())
                    .match_indices(&pattern)
                    .filter(|(at, found)| {
                        let line = format!(" {}", line.to_lowercase());
                        !line[at + found.len()..].starts_with(char::is_alphabetic)
                    })
                    .count(),
            };
            let occurs = lines.iter().map(count).sum::<usize>();
            let rate = occurs as f64 * 10_000.0 / words as f64;
            println!("{corpus}: `{expression}` {rate:.1} in 10,000 words, at most {most}");
            if rate > most {
                above.push(format!(
                    "{corpus}: `{expression}` {occurs} times, {rate:.1}, at most {most}"
                ));
            }
        }
    }
    assert!(above.is_empty(), "{above:#?}");
}
