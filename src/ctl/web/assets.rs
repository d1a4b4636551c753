//! The files of the page, which stand in the folder `page` and are part of the program.

use bytes::Bytes;

/// A file of the page.
pub(super) struct PageFile {
    path: &'static str,
    pub(super) kind: &'static str,
    contents: &'static [u8],
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! files {
    ($($path:literal $kind:ident $name:literal,)*) => {
        &[$(PageFile {
            path: $path,
            kind: $kind,
            contents: include_bytes!(concat!("page/", $name)),
        },)*]
    };
}

/// All of them, by the paths that the browser asks for.
const FILES: &[PageFile] = files![
    "/" HTML "index.html",
    "/app/style.css" CSS "style.css",
    "/app/icon.svg" SVG "icon.svg",
    "/app/app.js" JS "app.js",
    "/app/api.js" JS "api.js",
    "/app/body.js" JS "body.js",
    "/app/chart.js" JS "chart.js",
    "/app/curl.js" JS "curl.js",
    "/app/dialog.js" JS "dialog.js",
    "/app/dom.js" JS "dom.js",
    "/app/filter.js" JS "filter.js",
    "/app/format.js" JS "format.js",
    "/app/headers.js" JS "headers.js",
    "/app/history.js" JS "history.js",
    "/app/json.js" JS "json.js",
    "/app/list.js" JS "list.js",
    "/app/live.js" JS "live.js",
    "/app/views/dead.js" JS "views/dead.js",
    "/app/views/delivery.js" JS "views/delivery.js",
    "/app/views/endpoint.js" JS "views/endpoint.js",
    "/app/views/endpoints.js" JS "views/endpoints.js",
    "/app/views/event.js" JS "views/event.js",
    "/app/views/events.js" JS "views/events.js",
    "/app/views/overview.js" JS "views/overview.js",
    "/app/views/plots.js" JS "views/plots.js",
    "/app/views/replay.js" JS "views/replay.js",
    "/app/views/source.js" JS "views/source.js",
    "/app/views/sources.js" JS "views/sources.js",
];

/// The file at a path, exactly.
pub(super) fn find(path: &str) -> Option<&'static PageFile> {
    FILES.iter().find(|file| file.path == path)
}

impl PageFile {
    /// What stands in it. A debug build takes it from the folder that `HOOKBOX_WEB_PAGE` names,
    /// so that whoever works on the page need not compile it.
    pub(super) fn contents(&self) -> Bytes {
        #[cfg(debug_assertions)]
        if let Some(folder) = std::env::var_os("HOOKBOX_WEB_PAGE") {
            let name = self.path.trim_start_matches("/app/").trim_start_matches('/');
            let name = if name.is_empty() { "index.html" } else { name };
            if let Ok(contents) = std::fs::read(std::path::Path::new(&folder).join(name)) {
                return contents.into();
            }
        }
        Bytes::from_static(self.contents)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{FILES, find};

    fn texts() -> impl Iterator<Item = (&'static str, &'static str)> {
        FILES.iter().map(|file| (file.path, std::str::from_utf8(file.contents).expect("text")))
    }

    /// The module that an `import` of a file names, from the root.
    fn imported(from: &str, line: &str) -> Option<String> {
        let named = line.split_once("from \"")?.1.split('"').next()?;
        let mut folder: Vec<&str> = from.split('/').collect();
        folder.pop();
        for part in named.split('/') {
            match part {
                "." => {}
                ".." => drop(folder.pop()),
                part => folder.push(part),
            }
        }
        Some(folder.join("/"))
    }

    #[test]
    fn every_module_is_there_and_loaded_with_the_page() {
        let paths: BTreeSet<&str> = FILES.iter().map(|file| file.path).collect();
        let index = texts().next().expect("the page").1;
        for (path, text) in texts() {
            for line in text.lines().filter(|line| line.contains(" from \"")) {
                let named = imported(path, line).expect("a module");
                assert!(paths.contains(named.as_str()), "{path} imports {named}");
            }
            // The browser need not find out one after the other what it needs.
            if path != "/" && path != "/app/icon.svg" {
                assert!(index.contains(&format!("\"{path}\"")), "index.html does not name {path}");
            }
        }
        assert!(find("/app/../app/app.js").is_none() && find("/app/").is_none());
    }

    /// The policy forbids it in the browser, and this in the repository.
    #[test]
    fn nothing_makes_markup_of_text_and_nothing_comes_from_elsewhere() {
        for (path, text) in texts() {
            for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("]
            {
                assert!(!text.contains(word), "{path} has {word}");
            }
            let sheet: &[&str] = if path.ends_with(".css") { &["@import", "url("] } else { &[] };
            for word in ["https://", "src=\"//"].iter().chain(sheet) {
                assert!(!text.contains(word), "{path} has {word}");
            }
            let is_markup = path == "/";
            assert!(!is_markup || !text.contains("style=") && !text.contains("onclick"), "{path}");
        }
    }
}
