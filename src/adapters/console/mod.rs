//! The console: one page for people on call, served from the binary.
//!
//! It is a client of the API as any other: it reads and orders with the token of who looks at it.
//! Nothing is loaded from elsewhere, and the policy that goes with each file lets nothing be.

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::routing::get;

/// The rights of a page of the console: use its own files, and ask its own origin.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const IMAGE: &str = "image/svg+xml";
const TEXT: &str = "text/plain; charset=utf-8";

/// A file of the console.
#[derive(Clone, Copy, Debug)]
struct Asset {
    path: &'static str,
    media_type: &'static str,
    content: &'static str,
}

macro_rules! assets {
    ($($path:literal $media_type:ident $file:literal,)*) => {
        [$(Asset {
            path: $path,
            media_type: $media_type,
            content: include_str!(concat!("assets/", $file)),
        }),*]
    };
}

const ASSETS: [Asset; 19] = assets! {
    "/" HTML "index.html",
    "/console/console.css" STYLE "console.css",
    "/console/icon.svg" IMAGE "icon.svg",
    "/console/console.js" SCRIPT "console.js",
    "/console/api.js" SCRIPT "api.js",
    "/console/charts.js" SCRIPT "charts.js",
    "/console/credentials.js" SCRIPT "credentials.js",
    "/console/decisions.js" SCRIPT "decisions.js",
    "/console/detail.js" SCRIPT "detail.js",
    "/console/dom.js" SCRIPT "dom.js",
    "/console/incidents.js" SCRIPT "incidents.js",
    "/console/keys.js" SCRIPT "keys.js",
    "/console/order.js" SCRIPT "order.js",
    "/console/overview.js" SCRIPT "overview.js",
    "/console/secret.js" SCRIPT "secret.js",
    "/console/tenants.js" SCRIPT "tenants.js",
    "/console/uplot.js" SCRIPT "uplot.js",
    "/console/uplot.css" STYLE "uplot.css",
    "/console/uplot.LICENSE" TEXT "uplot.LICENSE",
};

/// The headers that go with each file.
fn headers(asset: Asset) -> [(HeaderName, &'static str); 7] {
    [
        (CONTENT_TYPE, asset.media_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        // Small files of this machine: a newer binary's page must never run with older scripts.
        (CACHE_CONTROL, "no-store"),
    ]
}

/// The routes of the page and its files.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    ASSETS.into_iter().fold(Router::new(), |router, asset| {
        let answer = move || std::future::ready((headers(asset), asset.content));
        router.route(asset.path, get(answer))
    })
}

#[cfg(test)]
mod tests {
    use super::{ASSETS, SCRIPT};
    use std::collections::BTreeSet;

    #[test]
    fn every_file_is_served_and_every_served_one_is_used() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/adapters/console/assets");
        let files = std::fs::read_dir(folder).expect("a folder");
        let names =
            files.map(|file| file.expect("a file").file_name().into_string().expect("text"));
        let files: BTreeSet<String> = names.filter(|name| name != "README.md").collect();
        let served = ASSETS.map(|asset| match asset.path.strip_prefix("/console/") {
            Some(name) => name.to_owned(),
            None => "index.html".to_owned(),
        });
        assert_eq!(files, BTreeSet::from(served));
        let all: String = ASSETS.iter().map(|asset| asset.content).collect();
        for asset in ASSETS.into_iter().filter(|asset| asset.media_type == SCRIPT) {
            let name = asset.path.rsplit('/').next().expect("a name");
            assert!(all.contains(name), "nothing loads {name}");
        }
    }

    #[test]
    fn nothing_names_another_origin() {
        for asset in ASSETS.into_iter().filter(|asset| !asset.path.contains("LICENSE")) {
            let names_of_formats =
                ["http://www.w3.org/2000/svg", "https://github.com/leeoniya/uPlot"];
            let rest = names_of_formats
                .iter()
                .fold(asset.content.to_owned(), |text, known| text.replace(known, ""));
            assert!(!rest.contains("http://") && !rest.contains("https://"), "{}", asset.path);
            assert!(!rest.contains("innerHTML"), "{}", asset.path);
        }
    }
}
