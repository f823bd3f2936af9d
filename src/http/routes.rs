//! The table of all paths that are answered: the router, the links of the pages, the answer to an unknown path and
//! the table in `deploy/docs/RUNNING.md` are made from it.

/// What answers a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handler {
    StartPage,
    KillsPage,
    KillsJson,
    ForksJson,
    Runbooks,
    Metrics,
    Healthy,
    Ready,
}

/// One path.
pub(super) struct Route {
    /// Where it is answered; for [`Handler::Metrics`] the default of `--web.telemetry-path`.
    path: &'static str,
    pub(super) handler: Handler,
    /// What it is for, as the pages and the documents say it.
    pub(super) purpose: &'static str,
}

/// Every path that is answered, as the pages list them.
pub(super) const ROUTES: &[Route] = &[
    route("/", Handler::StartPage, "everything at a glance"),
    route("/kills", Handler::KillsPage, "who signalled whom, whose forks failed, what was ended"),
    route("/api/v1/kills", Handler::KillsJson, "the same as JSON"),
    route("/api/v1/forks", Handler::ForksJson, "failed forks as JSON"),
    route(
        RUNBOOKS,
        Handler::Runbooks,
        "what to do about an alert; `/runbooks/TelltaleOomKill` is one",
    ),
    route(DEFAULT_TELEMETRY_PATH, Handler::Metrics, "metrics for Prometheus"),
    route("/-/healthy", Handler::Healthy, "it runs"),
    route("/-/ready", Handler::Ready, "it answers"),
];

/// The default of `--web.telemetry-path`.
pub(crate) const DEFAULT_TELEMETRY_PATH: &str = "/metrics";

/// The list of runbooks; each is below it.
const RUNBOOKS: &str = "/runbooks";

/// What begins like this is kept for paths to come: a telemetry path chosen today must not stand in their way.
const RESERVED: [&str; 3] = ["/-/", "/api/", "/runbooks/"];

const fn route(path: &'static str, handler: Handler, purpose: &'static str) -> Route {
    Route { path, handler, purpose }
}

impl Route {
    /// Where it is answered by an exporter with this `--web.telemetry-path`.
    pub(super) fn path<'a>(&self, telemetry_path: &'a str) -> &'a str {
        if self.handler == Handler::Metrics { telemetry_path } else { self.path }
    }
}

/// The runbook that a path asks for.
pub(super) fn runbook_of(path: &str) -> Option<&str> {
    path.strip_prefix(RUNBOOKS)?.strip_prefix('/').filter(|name| !name.is_empty())
}

/// What answers a path, if anything does.
pub(super) fn find_handler(path: &str, telemetry_path: &str) -> Option<Handler> {
    if runbook_of(path).is_some() {
        return Some(Handler::Runbooks);
    }
    let route = ROUTES.iter().find(|route| route.path(telemetry_path) == path)?;
    Some(route.handler)
}

/// The answer to a path that is not in the table.
pub(super) fn not_found(telemetry_path: &str) -> String {
    let paths: Vec<_> = ROUTES.iter().map(|route| route.path(telemetry_path)).collect();
    format!("not found; there are {}\n", paths.join(" "))
}

/// Checks a `--web.telemetry-path`.
///
/// # Errors
/// Why it cannot be one, with what to give.
pub(crate) fn parse_telemetry_path(text: &str) -> Result<String, String> {
    // What a browser sends as it stands (RFC 3986, 3.3); a percent sign would have to be decoded first.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte);
    if !text.starts_with('/') || !text.bytes().all(is_plain) {
        return Err("give a path like /metrics".to_owned());
    }
    // Clients take these out before they ask, and //name in a link is another host.
    let named = text.strip_suffix('/').unwrap_or(text);
    if named.split('/').skip(1).any(|segment| matches!(segment, "" | "." | "..")) {
        return Err(
            "a path with //, . or .. cannot be asked for; give one like /metrics".to_owned()
        );
    }
    let is_page = |route: &&Route| {
        route.handler != Handler::Metrics && route.path.trim_end_matches('/') == named
    };
    if let Some(page) = ROUTES.iter().find(is_page) {
        return Err(format!("{} is taken by another page; give one like /metrics", page.path));
    }
    let below = format!("{named}/");
    if let Some(reserved) = RESERVED.iter().find(|reserved| below.starts_with(**reserved)) {
        return Err(format!(
            "{reserved} is kept for the exporter's own pages; give one like /metrics"
        ));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_path_is_there_once_and_found() {
        for (nth, route) in ROUTES.iter().enumerate() {
            assert!(ROUTES[..nth].iter().all(|other| other.path != route.path), "{}", route.path);
            assert_eq!(find_handler(route.path, DEFAULT_TELEMETRY_PATH), Some(route.handler));
        }
        assert_eq!(find_handler("/probe", "/probe"), Some(Handler::Metrics));
        assert_eq!(find_handler("/metrics", "/probe"), None);
        assert_eq!(find_handler("/kills/", "/probe"), None);
        assert_eq!(find_handler("/runbooks/x", "/probe"), Some(Handler::Runbooks));
        assert_eq!((runbook_of("/runbooks/x"), runbook_of("/runbooks/")), (Some("x"), None));
        let missing = not_found("/probe");
        assert!(missing.contains(" /probe ") && !missing.contains("/metrics"), "{missing}");
    }

    #[test]
    fn the_document_has_the_table() {
        let document = include_str!("../../deploy/docs/RUNNING.md");
        let told = document.split("## Pages").nth(1).expect("a chapter on pages");
        let told: Vec<_> = told.lines().filter(|line| line.starts_with("| `")).collect();
        let rows: Vec<_> = ROUTES
            .iter()
            .map(|route| {
                let flag = if route.handler == Handler::Metrics {
                    " (`--web.telemetry-path`)"
                } else {
                    ""
                };
                format!("| `{}`{flag} | {} |", route.path, route.purpose)
            })
            .collect();
        let told = told.get(..rows.len()).expect("a row for each route");
        assert_eq!(told, rows, "deploy/docs/RUNNING.md");
    }

    #[test]
    fn a_telemetry_path_takes_no_page_away() {
        for route in ROUTES.iter().filter(|route| route.handler != Handler::Metrics) {
            for path in [route.path.to_owned(), format!("{}/", route.path)] {
                let why = parse_telemetry_path(&path).expect_err(&path);
                assert!(why.ends_with("give one like /metrics") && !why.contains('\n'), "{why}");
            }
        }
        for path in [
            "/-",
            "/-/",
            "/-/metrics",
            "/api",
            "/api/",
            "/api/v2/x",
            "/runbooks/x",
            "/a//b",
            "//host",
        ] {
            assert!(parse_telemetry_path(path).is_err(), "{path}");
        }
        for path in
            ["", "metrics", "/a b", "/a?b", "/a#b", "/a%2f", "/\\host", "/a\n", "/ä", "/a|b"]
        {
            assert!(parse_telemetry_path(path).is_err(), "{path}");
        }
        for path in ["/./kills", "/a/../kills", "/a/..", "/."] {
            assert!(parse_telemetry_path(path).is_err(), "{path}");
        }
        for path in
            ["/metrics", "/metrics/", "/probe", "/-x", "/apis/x", "/kills2", "/a/b:c@d", "/..a"]
        {
            assert_eq!(parse_telemetry_path(path).as_deref(), Ok(path));
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_shadows_nothing(path in "[/a-z.1-]{0,12}|/(api|-|kills|a)(/[a-z.-]{0,3}){0,3}") {
            if parse_telemetry_path(&path).is_ok() {
                prop_assert_eq!(find_handler(&path, &path), Some(Handler::Metrics));
                for route in ROUTES.iter().filter(|route| route.handler != Handler::Metrics) {
                    prop_assert_eq!(find_handler(route.path, &path), Some(route.handler));
                }
            }
        }
    }
}
