//! Which request gets which answer.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    HeaderMap, HeaderValue, VARY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};

use super::pages::{self, Page};
use crate::collector::BOUND;
use crate::exporter::{Exporter, Selection};
use crate::metrics;
use crate::pipeline::View;

/// Answer to every request.
pub(crate) type Answer = Response<Full<Bytes>>;

/// Below this a response is not worth compressing.
const GZIP_FROM: usize = 1024;

/// Answers one request.
pub(crate) async fn respond(exporter: &Exporter, request: &Request<Incoming>) -> Answer {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered\n");
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    match request.uri().path() {
        path if path == exporter.telemetry_path => scrape(exporter, request).await,
        "/" => {
            let shown = exporter.gather(&Selection::All, BOUND).await.unwrap_or_default();
            page(&pages::start(exporter, &shown), request.headers())
        }
        "/kills" => page(&pages::stories::page(exporter), request.headers()),
        "/api/v1/kills" => stories(exporter, request.headers(), pages::stories::kills_json),
        "/api/v1/forks" => stories(exporter, request.headers(), pages::stories::forks_json),
        "/-/healthy" => text(StatusCode::OK, "telltale_exporter is healthy.\n"),
        "/-/ready" => text(StatusCode::OK, "telltale_exporter is ready.\n"),
        _ => {
            let known = format!(
                "not found; there are / {} /kills /api/v1/kills /api/v1/forks /-/healthy /-/ready\n",
                exporter.telemetry_path
            );
            text(StatusCode::NOT_FOUND, known)
        }
    }
}

async fn scrape(exporter: &Exporter, request: &Request<Incoming>) -> Answer {
    let selection = match selection(request.uri().query().unwrap_or_default()) {
        Ok(selection) => selection,
        Err(error) => return text(StatusCode::BAD_REQUEST, format!("{error}\n")),
    };
    let shown = match exporter.gather(&selection, patience(request.headers())).await {
        Ok(shown) => shown,
        Err(error) => return text(StatusCode::BAD_REQUEST, format!("{error}\n")),
    };
    let body = exporter.metrics(&shown).encode();
    compressed(request.headers(), metrics::CONTENT_TYPE, body)
}

/// Stories as JSON.
fn stories(exporter: &Exporter, headers: &HeaderMap, told: fn(Option<&View>) -> String) -> Answer {
    compressed(headers, "application/json", told(exporter.pipeline.as_ref()).into_bytes())
}

fn page(page: &Page, headers: &HeaderMap) -> Answer {
    let html = header(headers, ACCEPT).is_some_and(|accept| accept.contains("text/html"));
    let mut answer = if html {
        compressed(headers, "text/html; charset=utf-8", page.html().into_bytes())
    } else {
        compressed(headers, "text/plain; charset=utf-8", page.text().into_bytes())
    };
    // The page has no script and loads nothing, so nothing of either may run.
    let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");
    answer.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    answer.headers_mut().append(VARY, ACCEPT.into());
    answer
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    answer(status, "text/plain; charset=utf-8", body.into())
}

fn answer(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// A response in gzip where it is asked for and pays.
fn compressed(headers: &HeaderMap, content_type: &'static str, body: Vec<u8>) -> Answer {
    let zipped = (body.len() >= GZIP_FROM && accepts_gzip(headers)).then(|| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&body).and_then(|()| encoder.finish())
    });
    // Writing to memory cannot fail; if it did, plain is right as well.
    let (body, zipped) = match zipped {
        Some(Ok(zipped)) => (zipped, true),
        _ => (body, false),
    };
    let mut answer = answer(StatusCode::OK, content_type, body.into());
    answer.headers_mut().insert(VARY, ACCEPT_ENCODING.into());
    if zipped {
        answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    answer
}

fn header(headers: &HeaderMap, name: impl hyper::header::AsHeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Whether gzip is among the accepted encodings and not refused with `q=0` (RFC 9110, 12.5.3).
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let Some(accepted) = header(headers, ACCEPT_ENCODING) else { return false };
    accepted.split(',').any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let gzip = parts.next().is_some_and(|coding| coding.eq_ignore_ascii_case("gzip"));
        let quality = parts.find_map(|part| part.strip_prefix("q=")).and_then(|q| q.parse().ok());
        gzip && quality != Some(0.0)
    })
}

/// How long to wait for collectors: most of what Prometheus says it will wait, so that a hanging one
/// does not cost the others. The rest is for the way.
fn patience(headers: &HeaderMap) -> Duration {
    header(headers, "x-prometheus-scrape-timeout-seconds")
        .and_then(|seconds| seconds.parse::<f64>().ok())
        .filter(|seconds| *seconds > 0.0 && *seconds < 3600.0)
        .map_or(BOUND, |seconds| Duration::from_secs_f64(seconds * 0.8))
}

/// `collect[]=a&collect[]=b` or `exclude[]=c`.
fn selection(query: &str) -> Result<Selection, &'static str> {
    let named = |wanted: &str| -> Vec<String> {
        form_urlencoded::parse(query.as_bytes())
            .filter(|(key, _)| key == wanted)
            .map(|(_, name)| name.into_owned())
            .collect()
    };
    match (named("collect[]"), named("exclude[]")) {
        (only, except) if only.is_empty() && except.is_empty() => Ok(Selection::All),
        (only, except) if except.is_empty() => Ok(Selection::Only(only)),
        (only, except) if only.is_empty() => Ok(Selection::Except(except)),
        _ => Err("give collect[] or exclude[], not both"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    #[test]
    fn selections() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(selection(""), Ok(Selection::All));
        assert_eq!(selection("x=1"), Ok(Selection::All));
        let only = Selection::Only(names(&["users", "host"]));
        assert_eq!(selection("collect[]=users&collect[]=host"), Ok(only.clone()));
        assert_eq!(selection("collect%5B%5D=users&collect%5b%5d=host"), Ok(only));
        assert_eq!(selection("exclude[]=users"), Ok(Selection::Except(names(&["users"]))));
        assert!(selection("exclude[]=users&collect[]=host").is_err());
    }

    #[test]
    fn gzip_is_negotiated() {
        for (value, accepted) in [
            ("gzip", true),
            ("deflate, gzip;q=0.5", true),
            ("GZIP", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0", false),
            ("identity", false),
            ("xgzip", false),
        ] {
            assert_eq!(accepts_gzip(&headers("accept-encoding", value)), accepted, "{value}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[test]
    fn patience_follows_prometheus_and_ignores_nonsense() {
        let of = |value| patience(&headers("x-prometheus-scrape-timeout-seconds", value));
        assert_eq!(of("1"), Duration::from_millis(800));
        for nonsense in ["", "x", "-1", "0", "NaN", "inf", "1e300"] {
            assert_eq!(of(nonsense), BOUND, "{nonsense}");
        }
    }
}
