//! Holds the house rules of `docs/architecture.md`: `lib.rs` read from top to bottom is the architecture, the domain
//! is pure, files open with what they are and stay short, and nothing of one machine gets into the repository.
//!
//! It reads text, not types: it sees `crate::`, `crate::{…}` and a leading `use super::`, outside comments and string
//! literals. It refuses the forms that it could not follow (`super::super::`, `#[path]`).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::prometheus;

/// Lines of one file under `src/`, its tests not counted.
const LONGEST_FILE: usize = 400;

/// Adapters that any other adapter may use: they speak to nothing outside by themselves.
const SHARED_ADAPTERS: [&str; 4] = ["blocking", "config", "http", "telemetry"];

/// Crates that bring input, output or an executor, and have no place in the domain.
const IMPURE_CRATES: [&str; 8] =
    ["axum", "grafana_plugin_sdk", "hyper", "object_store", "reqwest", "tokio", "tonic", "tracing_subscriber"];

/// Parts of `std` that read or change the world. `std::net` also has plain values, so its sockets stand below.
const IMPURE_STD: [&str; 3] = ["env", "fs", "process"];

/// Hidden inputs: clocks and random numbers come in as arguments. Sockets do not come in at all.
const IMPURE_CALLS: [&str; 9] = [
    "SystemTime::now",
    "Instant::now",
    "Utc::now",
    "Local::now",
    "rand::rng",
    "rand::random",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Domain,
    Adapters,
    Surfaces,
}

struct Module {
    name: String,
    class: Class,
}

/// One file below `src/`, by its path from there, with `/`.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// Name of the top-level module the file belongs to; `None` for the crate roots.
    fn module(&self) -> Option<&str> {
        let first = self.path.split('/').next()?;
        let name = first.strip_suffix(".rs").unwrap_or(first);
        (name != "lib" && name != "bin").then_some(name)
    }

    fn is_module_root(&self) -> bool {
        !self.path.contains('/') || self.path.split('/').nth(1) == Some("mod.rs")
    }

    /// The text without its tests: those end the file, or are a file of their own.
    fn product(&self) -> &str {
        if self.path.split('/').any(|part| part == "tests" || part == "tests.rs") {
            return "";
        }
        self.text.find("\n#[cfg(test)]\nmod ").map_or(&self.text, |at| &self.text[..=at])
    }
}

#[test]
fn the_tree_is_tidy() {
    let root = root();
    let lib = std::fs::read_to_string(root.join("src/lib.rs")).expect("src/lib.rs can be read");
    let sources = sources(&root.join("src"));
    assert!(sources.len() > 10, "only {} files found under src/", sources.len());
    let faults = faults(&lib, &sources);
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn nothing_of_one_machine_is_in_the_repository() {
    let mut faults = Vec::new();
    for path in repository_files(&root()) {
        let lock = path.file_name().is_some_and(|name| name == "Cargo.lock" || name == "package-lock.json");
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        if lock {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            if let Some(word) = local_name(line) {
                faults.push(format!("{}:{}: `{word}` exists on one machine only", path.display(), number + 1));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// `docs/telemetry.md` explains every name of `src/semconv.rs`.
#[test]
fn every_name_of_telemetry_is_explained() {
    let names = std::fs::read_to_string(root().join("src/semconv.rs")).unwrap();
    let page = std::fs::read_to_string(root().join("docs/telemetry.md")).unwrap();
    let named = names.lines().filter_map(|line| line.split_once(": &str = \"")?.1.strip_suffix("\";"));
    let missing: Vec<&str> =
        named.filter(|name| name.contains('.') && !name.contains("://")).filter(|name| !page.contains(name)).collect();
    assert!(missing.is_empty(), "docs/telemetry.md says nothing of {missing:?}");
}

/// Dashboards, rules and links ask for no metric of ours that `docs/telemetry.md` does not name.
#[test]
fn every_metric_that_is_asked_for_is_explained() {
    let documented: Vec<String> = prometheus::documented().into_iter().map(|(name, _)| name).collect();
    assert!(documented.len() > 13, "{documented:?}");
    let asks = |path: &Path| path.starts_with(root().join("provisioning")) || path.ends_with("plugin/query/shown.rs");
    let mut asked = BTreeSet::new();
    for file in repository_files(&root()).into_iter().filter(|path| asks(path)) {
        let text = std::fs::read_to_string(&file).unwrap();
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let is_metric = |word: &&str| {
            word.starts_with("gen_ai_client_") || (word.starts_with("assay_") && word.ends_with("_total"))
        };
        asked.extend(words.filter(is_metric).map(str::to_owned));
    }
    let is_known = |name: &&String| documented.contains(name) || documented.contains(&format!("{name}_bucket"));
    let unknown: Vec<&String> = asked.iter().filter(|name| !is_known(name)).collect();
    assert!(!asked.is_empty() && unknown.is_empty(), "docs/telemetry.md says nothing of {unknown:?}");
}

#[test]
fn each_rule_can_be_broken() {
    let lib = "//! Toy.\n// --- domain ---\npub mod stream;\npub mod digest;\n// --- adapters ---\npub mod llama;\n\
               pub mod store;\n// --- surfaces ---\npub mod cli;\n";
    let clean = [
        ("stream.rs", "//! S.\nuse std::fmt;\n// use crate::cli;\nconst A: &str = \"crate::cli tokio::spawn\";\n"),
        ("digest/mod.rs", "//! D.\nuse crate::{digest::x, stream::{self, Entry}};\n"),
        ("digest/x.rs", "//! X.\nuse super::y;\n\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n"),
        ("llama.rs", "//! L.\nuse crate::digest;\nuse tokio::net;\n"),
        ("store.rs", "//! S.\nuse std::fs;\n"),
        ("cli.rs", "//! C.\nuse crate::{llama, store};\n"),
    ];
    let check = |changed: Option<(&str, &str)>| {
        let mut sources: Vec<Source> = clean.map(|(path, text)| source(path, text)).into();
        if let Some((path, text)) = changed {
            sources.retain(|source| source.path != path);
            sources.push(source(path, text));
        }
        faults(lib, &sources)
    };
    assert_eq!(check(None), Vec::<String>::new());

    let long = format!("//! L.\n{}", "\n".repeat(LONGEST_FILE));
    for (path, text, expected) in [
        ("stream.rs", "//! S.\nuse crate::digest;\n", "`stream` may not import `digest`, declared below it"),
        ("stream.rs", "//! S.\nuse crate::{\n    stream, // a\n    cli::{a, b},\n};\n", "may not import `cli`"),
        ("stream.rs", "//! S.\nuse super::digest;\n", "may not import `digest`"),
        ("stream.rs", "//! S.\nfn f() { crate::cli::run() }\n", "may not import `cli`"),
        ("store.rs", "//! S.\nuse crate::llama;\n", "adapters `store` and `llama` may not know each other"),
        ("digest/x.rs", "//! X.\nuse super::super::cli;\n", "`super::super::`"),
        ("digest/x.rs", "//! X.\n#[path = \"z.rs\"]\nmod z;\n", "`#[path]`"),
        ("stream.rs", "//! S.\nuse std::{fmt, fs};\n", "`std::fs` in the domain"),
        ("stream.rs", "//! S.\nuse tokio::sync;\n", "`tokio` in the domain"),
        ("stream.rs", "//! S.\nfn f() { std::time::Instant::now() }\n", "`Instant::now` in the domain"),
        ("stream.rs", "//! S.\nuse std::net::{IpAddr, TcpStream};\n", "`TcpStream` in the domain"),
        ("stream.rs", "use std::fmt;\n", "opens without `//!`"),
        ("cli.rs", long.as_str(), "401 lines"),
        ("stray.rs", "//! S.\n", "`stray` is not declared in lib.rs"),
    ] {
        let faults = check(Some((path, text)));
        assert!(faults.iter().any(|fault| fault.contains(expected)), "{text:?} gave {faults:?}, not {expected:?}");
    }
    assert!(local_name(concat!("see /wo", "rk/main")).is_some());
    assert!(local_name(concat!("http://py", "pi.org/simple")).is_some());
    assert!(local_name(concat!("net/wo", "rk/main and file.pypi")).is_none());
}

/// Everything that is wrong in `sources`, a line each.
fn faults(lib: &str, sources: &[Source]) -> Vec<String> {
    let modules = declared(lib);
    let mut faults = Vec::new();
    for source in sources {
        let mut report = |fault: String| faults.push(format!("src/{}: {fault}", source.path));
        if !source.text.starts_with("//!") {
            report("opens without `//!`".to_owned());
        }
        let length = source.product().lines().count();
        if length > LONGEST_FILE {
            report(format!("{length} lines without tests, more than {LONGEST_FILE}"));
        }
        let code = code_only(&source.text);
        if code_only(source.product()).contains("super::super::") {
            report("`super::super::` hides an import: write `crate::`".to_owned());
        }
        if code.contains("#[path") {
            report("`#[path]` hides an import".to_owned());
        }
        let Some(name) = source.module() else { continue };
        let Some(position) = modules.iter().position(|module| module.name == name) else {
            report(format!("`{name}` is not declared in lib.rs under one of its three headings"));
            continue;
        };
        for import in imports(source, &code) {
            if let Some(fault) = edge(&modules, position, &import) {
                report(fault);
            }
        }
        if modules[position].class == Class::Domain {
            impurities(&code_only(source.product())).into_iter().for_each(report);
        }
    }
    faults
}

/// The modules of `lib.rs` in their order, classed by the `// --- …` heading above them.
fn declared(lib: &str) -> Vec<Module> {
    let mut class = None;
    let mut modules = Vec::new();
    for line in lib.lines() {
        if let Some(heading) = line.strip_prefix("// --- ") {
            class = match heading.split(|c: char| !c.is_ascii_alphabetic()).next() {
                Some("domain") => Some(Class::Domain),
                Some("adapters") => Some(Class::Adapters),
                Some("surfaces") => Some(Class::Surfaces),
                _ => class,
            };
        }
        let declaration = line.strip_prefix("pub ").unwrap_or(line);
        let name = declaration.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';'));
        if let (Some(name), Some(class)) = (name, class) {
            modules.push(Module { name: name.to_owned(), class });
        }
    }
    modules
}

/// Why the module at `position` may not import `import`, if so.
fn edge(modules: &[Module], position: usize, import: &str) -> Option<String> {
    let importer = &modules[position];
    let target = modules.iter().position(|module| module.name == import)?;
    if target == position {
        return None;
    }
    if target > position {
        return Some(format!("`{}` may not import `{import}`, declared below it", importer.name));
    }
    let both_adapters = importer.class == Class::Adapters && modules[target].class == Class::Adapters;
    (both_adapters && !SHARED_ADAPTERS.contains(&import))
        .then(|| format!("the adapters `{}` and `{import}` may not know each other", importer.name))
}

/// Top-level names a file takes from its own crate.
fn imports(source: &Source, code: &str) -> BTreeSet<String> {
    let mut names = names_after(code, "crate::");
    if source.is_module_root() {
        // In a nested `mod tests` the same words mean the module itself; those lines are indented.
        for start in ["\nuse super::", "\npub use super::", "\npub(crate) use super::"] {
            names.extend(names_after(code, start));
        }
    }
    names
}

/// What in `code` reads or changes the world.
fn impurities(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for name in IMPURE_CRATES {
        if has_path(code, &format!("{name}::")) || has_path(code, &format!("use {name};")) {
            found.push(format!("`{name}` in the domain"));
        }
    }
    let std_names = names_after(code, "std::");
    for name in IMPURE_STD {
        if std_names.contains(name) {
            found.push(format!("`std::{name}` in the domain"));
        }
    }
    for call in IMPURE_CALLS {
        if has_path(code, call) {
            found.push(format!("`{call}` in the domain: take it as an argument"));
        }
    }
    found
}

/// The identifiers right after `prefix`, the first ones of each path in a `{…}` group included.
fn names_after(code: &str, prefix: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices(prefix).filter(|(at, _)| starts_path(code, *at)) {
        let rest = code[at + prefix.len()..].trim_start();
        match rest.strip_prefix('{') {
            Some(group) => names.extend(group_heads(group)),
            None => names.extend(identifier(rest)),
        }
    }
    names
}

/// First identifiers of the comma-separated paths up to the `}` that closes the group.
fn group_heads(group: &str) -> Vec<String> {
    let mut heads = Vec::new();
    let (mut depth, mut at_head) = (0, true);
    for (at, c) in group.char_indices() {
        match c {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => at_head = true,
            c if at_head && !c.is_whitespace() => {
                heads.extend(identifier(&group[at..]));
                at_head = false;
            }
            _ => {}
        }
    }
    heads
}

fn identifier(text: &str) -> Option<String> {
    let name: String = text.chars().take_while(|c| is_word(*c)).collect();
    (!name.is_empty()).then_some(name)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn starts_path(code: &str, at: usize) -> bool {
    !code[..at].ends_with(|c: char| is_word(c) || c == ':')
}

fn has_path(code: &str, path: &str) -> bool {
    let ends_path = |at: usize| path.ends_with([':', ';']) || !code[at + path.len()..].starts_with(is_word);
    code.match_indices(path).any(|(at, _)| !code[..at].ends_with(is_word) && ends_path(at))
}

/// `text` with comments and the contents of string and character literals blanked; lines keep their numbers.
fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (kept, skipped) = token(rest, c, code.chars().next_back());
        code.push_str(&rest[..kept]);
        code.extend(rest[kept..kept + skipped].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = &rest[kept + skipped..];
    }
    code
}

/// Bytes of the next token that are code, and bytes after them that are not.
fn token(rest: &str, c: char, before: Option<char>) -> (usize, usize) {
    let until = |end: Option<usize>| end.unwrap_or(rest.len());
    match c {
        '/' if rest.starts_with("//") => (0, until(rest.find('\n'))),
        '/' if rest.starts_with("/*") => (0, until(rest.find("*/").map(|at| at + 2))),
        '"' => (0, until(closing_quote(rest, '"'))),
        'r' if !before.is_some_and(|c| is_word(c) && c != 'b') => {
            let hashes = rest[1..].chars().take_while(|c| *c == '#').count();
            if !rest[1 + hashes..].starts_with('"') {
                return (1, 0);
            }
            let end = format!("\"{}", "#".repeat(hashes));
            let body = hashes + 2;
            (0, until(rest[body..].find(&end).map(|at| body + at + end.len())))
        }
        // A character literal; a lifetime has no quote after its first character.
        '\'' if rest[1..].starts_with('\\') || rest.chars().nth(2) == Some('\'') => {
            (0, until(closing_quote(rest, '\'')))
        }
        c => (c.len_utf8(), 0),
    }
}

/// Bytes up to and with the quote that closes the literal at the start of `text`.
fn closing_quote(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return Some(at + c.len_utf8()),
            _ => {}
        }
    }
    None
}

/// The first thing in `line` that only some machine knows: its folders, or a registry by host name.
fn local_name(line: &str) -> Option<&'static str> {
    // Split, so that this file does not find itself.
    const FOLDERS: [&str; 2] = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];
    const HOSTS: [&str; 6] = [
        concat!("py", "pi.org"),
        concat!("pythonhosted", ".org"),
        concat!("crates", ".io/"),
        concat!("registry.npm", "js.org"),
        concat!("proxy.go", "lang.org"),
        concat!("deb.deb", "ian.org"),
    ];
    let starts = |at: usize| !line[..at].ends_with(|c: char| is_word(c) || ".-/}".contains(c));
    let folder = FOLDERS.into_iter().find(|folder| line.match_indices(*folder).any(|(at, _)| starts(at)));
    folder.or_else(|| HOSTS.into_iter().find(|host| line.contains(host)))
}

fn source(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: text.to_owned() }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(src: &Path) -> Vec<Source> {
    let read = |path: PathBuf| {
        let below = path.strip_prefix(src).expect("a file below src").to_string_lossy().replace('\\', "/");
        source(&below, &std::fs::read_to_string(&path).expect("a source file is UTF-8"))
    };
    let rust = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    files_below(src).into_iter().filter(rust).map(read).collect()
}

/// Files that are in the repository or would be with the next commit; in an unpacked archive, all that it brought.
fn repository_files(root: &Path) -> Vec<PathBuf> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output();
    match listed {
        Ok(output) if output.status.success() && !output.stdout.is_empty() => {
            String::from_utf8_lossy(&output.stdout).split_terminator('\0').map(|path| root.join(path)).collect()
        }
        _ => files_below(root),
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder of the repository can be read") {
        let path = entry.expect("a folder entry can be read").path();
        let built = path
            .file_name()
            .is_some_and(|name| [".git", ".tools", "node_modules", "target"].iter().any(|b| name == *b));
        match path.is_dir() {
            true if !built => files.extend(files_below(&path)),
            true => {}
            false => files.push(path),
        }
    }
    files.sort();
    files
}
